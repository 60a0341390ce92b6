/* Blocks between pages that nobody may touch, for tests: a kernel that reads or writes outside its arrays dies. */
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
void *fn_guard_alloc(size_t bytes, fn_kind kind); /* full of NaN; NULL when there is no memory, or no such pages here */
guarded *fn_guard_take(void *memory); /* off the list; NULL when the block is none of ours */
void fn_guard_release(guarded *block); /* ends the program when something was written beside the block */

#endif
