/* Elementwise functions and sums of whole arrays, in memory order; bound by memory. */
#include "cuda/activations.h"

KERNEL(map_forward)(IN(real) x, OUT(real) y, Int n, Int which, double a, double b)
{
    for (Int i = GLOBAL_THREAD; i < n; i += GLOBAL_THREADS) y[i] = activation(which, x[i], (real)a, (real)b);
}

KERNEL(map_backward)(IN(real) dy, IN(real) saved, OUT(real) dx, Int n, Int which, double a, double b)
{
    for (Int i = GLOBAL_THREAD; i < n; i += GLOBAL_THREADS)
        dx[i] = activation_gradient(which, dy[i], saved[i], (real)a, (real)b);
}

KERNEL(add)(IN(real) a, IN(real) b, OUT(real) y, Int n)
{
    for (Int i = GLOBAL_THREAD; i < n; i += GLOBAL_THREADS) y[i] = a[i] + b[i];
}
