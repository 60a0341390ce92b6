/* Best fit, lowest address first; the rest of a chunk becomes a new chunk, and free neighbours are merged. */
#define _DEFAULT_SOURCE
#include "runtime/heap.h"

#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

/* A region is reserved in one piece and committed by the system on first use: its size costs only address space. */
#define REGION ((size_t)1 << 30)
#define HUGE_PAGE ((size_t)2 << 20)
#define LEAST ((size_t)64 << 10) /* no chunk is smaller */

struct chunk {
    chunk *before, *after; /* neighbours in the region */
    char *memory;
    size_t size, filled; /* filled: bytes used before, which are backed by memory */
    int64_t place;       /* index in the list of free chunks; -1: in use */
};

static chunk **free_chunks = NULL;
static int64_t free_count = 0, free_room = 0, chunks = 0, kept = 0; /* kept: filled bytes of free chunks */

static char *new_region(size_t size) {
#if defined(__linux__)
    char *memory =
        mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return NULL;
    size_t before = (HUGE_PAGE - (size_t)memory % HUGE_PAGE) % HUGE_PAGE;
    if (before) munmap(memory, before);
    if (before < HUGE_PAGE) munmap(memory + before + size, HUGE_PAGE - before);
#if defined(MADV_HUGEPAGE)
    madvise(memory + before, size, MADV_HUGEPAGE);
#endif
    return memory + before;
#elif defined(_WIN32)
    return _aligned_malloc(size, HUGE_PAGE);
#else
    void *memory = NULL;
    return posix_memalign(&memory, HUGE_PAGE, size) ? NULL : memory;
#endif
}

static void release_region(char *memory, size_t size) {
#if defined(__linux__)
    munmap(memory, size);
#elif defined(_WIN32)
    (void)size, _aligned_free(memory);
#else
    (void)size, free(memory);
#endif
}

static int make_room(int64_t count) { /* all may be free at once */
    if (count <= free_room) return 1;
    int64_t room = 2 * count + 64;
    chunk **list = realloc(free_chunks, (size_t)room * sizeof *list);
    if (list) free_chunks = list, free_room = room;
    return list != NULL;
}

static void enlist(chunk *c) {
    c->place = free_count, kept += (int64_t)c->filled;
    free_chunks[free_count++] = c;
}

static void strike(chunk *c) {
    chunk *last = free_chunks[--free_count];
    free_chunks[c->place] = last;
    last->place = c->place, c->place = -1, kept -= (int64_t)c->filled;
}

static chunk *new_chunk(char *memory, size_t size) {
    chunk *c = make_room(chunks + 1) ? malloc(sizeof *c) : NULL;
    if (c) *c = (chunk){NULL, NULL, memory, size, 0, -1}, chunks++;
    return c;
}

static void forget(chunk *c) { free(c), chunks--; }

static chunk *grow(size_t size) {
    size_t whole = size > REGION / 4 ? (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE : REGION;
#if !defined(__linux__)
    whole = size;
#endif
    char *memory = new_region(whole);
    if (!memory && whole > size) memory = new_region(whole = (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
    if (!memory) return NULL;
    chunk *c = new_chunk(memory, whole);
    if (c) enlist(c);
    else release_region(memory, whole);
    return c;
}

chunk *fn_heap_take(size_t size) {
    chunk *best = NULL;
    for (int64_t i = 0; i < free_count; i++) {
        chunk *c = free_chunks[i];
        if (c->size < size) continue;
        if (!best || c->size < best->size || (c->size == best->size && c->memory < best->memory)) best = c;
    }
    if (!best && !(best = grow(size))) return NULL;
    strike(best);
    if (best->size - size >= LEAST) {
        chunk *rest = new_chunk(best->memory + size, best->size - size);
        if (rest) {
            rest->before = best, rest->after = best->after;
            if (best->after) best->after->before = rest;
            best->after = rest, best->size = size;
            rest->filled = best->filled > size ? best->filled - size : 0;
            enlist(rest);
        }
    }
    best->filled = best->size;
    return best;
}

/* Merge c with its neighbour `next`, which is on no list. */
static void join(chunk *c, chunk *next) {
    c->size += next->size, c->filled += next->filled, c->after = next->after;
    if (next->after) next->after->before = c;
    forget(next);
}

void fn_heap_give(chunk *c) {
    chunk *before = c->before, *after = c->after;
    if (after && after->place >= 0) strike(after), join(c, after);
    if (before && before->place >= 0) strike(before), join(before, c), c = before;
    enlist(c);
}

/* Return the pages of a free chunk to the system, or its region if the chunk is all of it. */
static void empty(chunk *c) {
    strike(c);
    if (!c->before && !c->after) {
        release_region(c->memory, c->size);
        forget(c);
        return;
    }
#if defined(__linux__)
    size_t begin = ((size_t)c->memory + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    size_t end = ((size_t)c->memory + c->size) / HUGE_PAGE * HUGE_PAGE;
    if (end > begin && !madvise((void *)begin, end - begin, MADV_DONTNEED)) c->filled = 0;
#endif
    enlist(c);
}

void fn_heap_trim(void) {
    for (int64_t i = free_count - 1; i >= 0; i--) empty(free_chunks[i]);
}

int64_t fn_heap_kept(void) { return kept; }
char *fn_heap_memory(const chunk *c) { return c->memory; }
size_t fn_heap_size(const chunk *c) { return c->size; }
