/* Blocks between inaccessible pages, for tests: a kernel that accesses memory outside its arrays crashes. */
#ifndef FASTNET_GUARD_H
#define FASTNET_GUARD_H

#include "fastnet.h"

typedef struct guarded {
    struct guarded *next;
    char *memory; /* what the caller has */
    size_t bytes;
    fn_kind kind;
    char *pages; /* accessible, from here on */
    size_t accessible;
} guarded;

/* All three are called with the allocator's lock held. */
void *fn_guard_alloc(size_t bytes, fn_kind kind); /* filled with NaN; NULL if out of memory or unsupported here */
guarded *fn_guard_take(void *memory); /* removes it from the list; NULL if it is not a guarded block */
void fn_guard_release(guarded *block); /* ends the program if memory beside the block was written */

#endif
