/* The end of a product that was computed elsewhere, or in parts, which are added in order.  Bound by memory. */
#include "cuda/ending.h"

/* y, n elements of `channels` channels, of the parts */
KERNEL(finish)(IN(real) scratch, Int parts, Int n, Int channels, ENDING_ARGUMENTS) {
    const Ending ending = ENDING;
    for (Int i = GLOBAL_THREAD; i < n; i += GLOBAL_THREADS) {
        double sum = 0;
        for (Int part = 0; part < parts; part++) sum += (double)scratch[part * n + i];
        ending.store(i, i % channels, (real)sum);
    }
}
