/* A caching allocator: fresh pages cost more than the arithmetic, so freed blocks are kept and reused.
 *
 * Blocks are 64-byte aligned.  Small ones are rounded up to a size class (classes are an eighth of a power of two
 * apart, so at most 12.5 % is wasted) and kept in a list per class; large ones are chunks of heap.c's regions.  A
 * block's header, one cache line before it, records its kind.  In guard mode (tests) blocks are guard.c's.
 */
#define _GNU_SOURCE
#include "runtime/guard.h"
#include "runtime/heap.h"
#include "runtime/lock.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define HEADER 64
#define CLASSES 160
#define LARGE ((size_t)256 << 10)

typedef struct block {
    struct block *next; /* next in the free list of its class */
    chunk *chunk;       /* of a large block; else NULL */
    size_t size;        /* without this header */
    int32_t class_index, kind;
} block;

static block *free_lists[CLASSES];
static fn_memory stats;
static _Atomic int poison = 0;
static int guard = 0;
static fn_lock memory_lock = FN_LOCK_INIT;

static void lock(void) { fn_acquire(&memory_lock); }
static void unlock(void) { fn_release(&memory_lock); }

void fn_lock_memory(int on) {
    if (on) lock();
    else unlock();
}

/* The smallest class of size (8 + m) << e >= bytes, m in 0..7. */
static int class_of(size_t bytes, size_t *size) {
    if (bytes < 64) bytes = 64;
    int exponent = 60 - __builtin_clzll(bytes); /* bytes = (8..15.99) << exponent */
    size_t eighths = (bytes + ((size_t)1 << exponent) - 1) >> exponent;
    if (eighths == 16) eighths = 8, exponent++;
    *size = eighths << exponent;
    return exponent * 8 + (int)(eighths - 8);
}

static block *new_block(size_t size) {
    size_t bytes = (size + HEADER + 63) / 64 * 64;
    void *memory = NULL;
#if defined(_WIN32)
    memory = _aligned_malloc(bytes, 64);
#else
    if (posix_memalign(&memory, 64, bytes)) memory = NULL;
#endif
    return memory;
}

static void release(block *b) {
#if defined(_WIN32)
    _aligned_free(b);
#else
    free(b);
#endif
}

/* Count a block that is allocated (1) or freed (-1); the lock is held. */
static void account(int64_t size, fn_kind kind, int sign) {
    stats.live += sign * size;
    if (stats.live > stats.peak) stats.peak = stats.live;
    if (kind != FN_SCRATCH) return;
    stats.scratch_live += sign * size;
    if (stats.scratch_live > stats.scratch_peak) stats.scratch_peak = stats.scratch_live;
}

/* A block of at least `bytes`, or NULL; the lock is held. */
static block *large_block(size_t bytes) {
    chunk *c = fn_heap_take((bytes + HEADER + 63) / 64 * 64);
    if (!c) return NULL;
    block *b = (block *)fn_heap_memory(c);
    *b = (block){.chunk = c, .size = fn_heap_size(c) - HEADER};
    return b;
}

/* The same; the lock may be released meanwhile. */
static block *small_block(size_t bytes) {
    size_t size;
    int class_index = class_of(bytes, &size);
    block *b = free_lists[class_index];
    if (b) {
        free_lists[class_index] = b->next;
        stats.cached -= (int64_t)b->size;
        return b;
    }
    unlock();
    b = new_block(size);
    lock();
    if (b) *b = (block){.size = size, .class_index = class_index};
    return b;
}

void *fn_alloc(size_t bytes, fn_kind kind) {
    if (bytes > (size_t)1 << 60) return NULL;
    lock();
    if (guard) {
        void *memory = fn_guard_alloc(bytes, kind);
        if (memory) account((int64_t)bytes, kind, 1);
        unlock();
        return memory;
    }
    block *b = NULL;
    for (int attempt = 0; attempt < 2 && !b; attempt++) {
        b = bytes < LARGE ? small_block(bytes) : large_block(bytes);
        if (b || attempt) break;
        unlock();
        fn_empty_cache();
        lock();
    }
    if (b) b->kind = kind, account((int64_t)b->size, kind, 1);
    unlock();
    if (!b) return NULL;
    void *memory = (char *)b + HEADER;
    if (atomic_load_explicit(&poison, memory_order_relaxed))
        memset(memory, 0xFF, b->size); /* all bits set: NaN as float and as double */
    return memory;
}

void fn_free(void *memory) {
    if (!memory) return;
    lock();
    guarded *alone = fn_guard_take(memory);
    if (alone) {
        account((int64_t)alone->bytes, alone->kind, -1);
        fn_guard_release(alone);
        unlock();
        return;
    }
    block *b = (block *)((char *)memory - HEADER);
    account((int64_t)b->size, (fn_kind)b->kind, -1);
    if (b->chunk) fn_heap_give(b->chunk);
    else {
        stats.cached += (int64_t)b->size;
        b->next = free_lists[b->class_index];
        free_lists[b->class_index] = b;
    }
    unlock();
}

void fn_empty_cache(void) {
    for (int i = 0; i < CLASSES; i++) {
        lock();
        block *b = free_lists[i];
        free_lists[i] = NULL;
        for (block *other = b; other; other = other->next) stats.cached -= (int64_t)other->size;
        unlock();
        while (b) {
            block *next = b->next;
            release(b);
            b = next;
        }
    }
    lock();
    fn_heap_trim();
    unlock();
}

void fn_memory_stats(fn_memory *out) {
    lock();
    *out = stats;
    out->cached += fn_heap_kept();
    unlock();
}

void fn_reset_peak(void) {
    lock();
    stats.peak = stats.live, stats.scratch_peak = stats.scratch_live;
    unlock();
}

void fn_set_poison(int on) { atomic_store_explicit(&poison, on, memory_order_relaxed); }

int fn_set_guard(int on) {
    lock();
    void *probe = on ? fn_guard_alloc(1, FN_ARRAY) : NULL;
    if (probe) fn_guard_release(fn_guard_take(probe));
    guard = probe != NULL;
    unlock();
    return guard == on ? 0 : -1;
}
