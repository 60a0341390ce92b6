/* Guarded blocks are mapped one by one, each between inaccessible address ranges, and unmapped when freed.
 *
 * Blocks are 64-byte aligned like the allocator's, so not every block can touch the guard pages on both sides: blocks
 * alternate between the end of their pages (followed by less than 64 bytes) and the beginning. A canary fills the rest:
 * it is NaN as float and as double, which exposes reads, and is checked when the block is freed, which exposes writes.
 */
#define _DEFAULT_SOURCE
#include "runtime/guard.h"

#if defined(__unix__) || defined(__APPLE__)

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GUARD ((size_t)1 << 20) /* inaccessible, on each side */

static guarded *blocks;
static unsigned turn;

static unsigned char canary(const char *at) { return (unsigned char)(0x7FF7A5A5u >> (uintptr_t)at % 4 * 8); }

static void fill(char *from, const char *to) {
    for (; from < to; from++) *from = (char)canary(from);
}

static void check(const char *from, const char *to, const guarded *block) {
    for (; from < to; from++)
        if ((unsigned char)*from != canary(from)) {
            fprintf(stderr, "fastnet: a kernel wrote at byte %td of a block of %zu bytes\n", from - block->memory,
                    block->bytes);
            abort();
        }
}

void *fn_guard_alloc(size_t bytes, fn_kind kind) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), rounded = (bytes + 63) / 64 * 64;
    size_t accessible = (rounded + page - 1) / page * page;
    guarded *block = malloc(sizeof *block);
    if (!block) return NULL;
    char *start = mmap(NULL, accessible + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED || mprotect(start + GUARD, accessible, PROT_READ | PROT_WRITE)) {
        if (start != MAP_FAILED) munmap(start, accessible + 2 * GUARD);
        free(block);
        return NULL;
    }
    char *pages = start + GUARD, *memory = turn++ % 2 ? pages : pages + accessible - rounded;
    *block = (guarded){blocks, memory, bytes, kind, pages, accessible};
    blocks = block;
    fill(pages, memory);
    memset(memory, 0xFF, bytes);
    fill(memory + bytes, pages + accessible);
    return memory;
}

guarded *fn_guard_take(void *memory) {
    for (guarded **link = &blocks; *link; link = &(*link)->next)
        if ((*link)->memory == memory) {
            guarded *block = *link;
            *link = block->next;
            return block;
        }
    return NULL;
}

void fn_guard_release(guarded *block) {
    check(block->pages, block->memory, block);
    check(block->memory + block->bytes, block->pages + block->accessible, block);
    munmap(block->pages - GUARD, block->accessible + 2 * GUARD);
    free(block);
}

#else

void *fn_guard_alloc(size_t bytes, fn_kind kind) {
    (void)bytes, (void)kind;
    return NULL;
}
guarded *fn_guard_take(void *memory) {
    (void)memory;
    return NULL;
}
void fn_guard_release(guarded *block) { (void)block; }

#endif
