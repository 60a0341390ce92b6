/* Arrays as rows of adjacent elements (pixels of channels): a block covers X adjacent columns of Y adjacent rows, so
 * its accesses are contiguous whether there are 3 columns or 3,000.  device/rows.py computes the blocks. */
#ifndef FASTNET_ROWS_H
#define FASTNET_ROWS_H

#include "cuda/dialect.h"

/* Threads, at most; elements that a thread loads before it uses any of them, so that enough loads are under way. */
enum { BLOCK_THREADS = 256, LOADS_AHEAD = 4 };

#define ROW_OF_BLOCK ((Int)blockIdx.x * blockDim.y + threadIdx.y)
#define COLUMN_OF_BLOCK ((Int)blockIdx.y * blockDim.x + threadIdx.x)

#endif
