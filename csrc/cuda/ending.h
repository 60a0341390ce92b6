/* What products and convolutions do to a sum before they store it: y = activation(sum * scale + shift + add), with each
 * term optional; `before` receives the activation's argument. */
#ifndef FASTNET_ENDING_H
#define FASTNET_ENDING_H

#include "cuda/activations.h"

/* The arguments of a kernel that ends so; scale and shift have an element for each channel, add and before are like
 * y. */
#define ENDING_ARGUMENTS \
    IN(real) scale, IN(real) shift, IN(real) add, OUT(real) before, OUT(real) y, Int which, double a, double b
#define ENDING {scale, shift, add, before, y, which, (real)a, (real)b}

struct Ending {
    IN(real) scale;
    IN(real) shift;
    IN(real) add;
    OUT(real) before;
    OUT(real) y;
    Int which;
    real a, b;

    /* Element `at` of y, which belongs to `channel`. */
    METHOD void store(Int at, Int channel, real value) const {
        if (scale) value *= scale[channel];
        if (shift) value += shift[channel];
        if (add) value += add[at];
        if (before) before[at] = value;
        y[at] = activation(which, value, a, b);
    }
};

#endif
