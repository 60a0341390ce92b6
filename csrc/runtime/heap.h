/* The source of large blocks: long regions of address space that are split into chunks and merged again, so that memory
 * freed by one step of a network can be reused by the next at any size. */
#ifndef FASTNET_HEAP_H
#define FASTNET_HEAP_H

#include "fastnet.h"

typedef struct chunk chunk;

/* All are called with the allocator's lock held.  Sizes are multiples of a cache line; memory is 64-byte aligned. */
chunk *fn_heap_take(size_t size); /* NULL: no memory */
void fn_heap_give(chunk *c);
char *fn_heap_memory(const chunk *c);
size_t fn_heap_size(const chunk *c); /* at least the size requested */
void fn_heap_trim(void); /* returns unused memory to the system */
int64_t fn_heap_kept(void); /* bytes of free chunks that are backed by memory */

#endif
