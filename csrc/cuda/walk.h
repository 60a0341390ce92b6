/* A walk over an array of rows by a grid-stride loop, without a division for each element. */
#ifndef FASTNET_WALK_H
#define FASTNET_WALK_H

#include "cuda/dialect.h"

typedef struct {
    Int row, column, width, rows, columns; /* rows, columns: of a step */
} Walk;

/* Of element GLOBAL_THREAD in rows of `width`. A grid has fewer than 2^31 threads, so divisions of 32 bits do. */
DEVICE Walk walk_from(Int width) {
    unsigned divisor = width < 0x7fffffff ? (unsigned)width : 0x7fffffffu;
    unsigned first = (unsigned)(GLOBAL_THREAD), step = (unsigned)(GLOBAL_THREADS);
    Walk at = {first / divisor, first % divisor, width, step / divisor, step % divisor};
    return at;
}

/* The place GLOBAL_THREADS elements on. */
DEVICE Walk walk_on(Walk at) {
    at.row += at.rows;
    at.column += at.columns;
    if (at.column >= at.width) at.column -= at.width, at.row += 1;
    return at;
}

#endif
