/* Where large blocks come from: long regions of address space that are cut into chunks and grow together again, so
 * that what one step of a network has freed serves the next, whatever its size. */
#ifndef FASTNET_HEAP_H
#define FASTNET_HEAP_H

#include "fastnet.h"

typedef struct chunk chunk;

/* All are called with the allocator's lock held.  Sizes are whole numbers of cache lines; memory is 64-byte aligned. */
chunk *fn_heap_take(size_t size); /* NULL: no memory */
void fn_heap_give(chunk *c);
char *fn_heap_memory(const chunk *c);
size_t fn_heap_size(const chunk *c); /* at least what was asked for */
void fn_heap_trim(void); /* what is not in use goes back to the system */
int64_t fn_heap_kept(void); /* bytes of free chunks that hold memory of the system */

#endif
