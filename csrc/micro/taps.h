/* The taps of a window inside the image: r in [*from, *to), a subset of [0, taps), for which 0 <= start + r*step <
 * size. */
INLINE void taps_inside(int64_t start, int64_t step, int64_t size, int64_t taps, int64_t *from, int64_t *to) {
    *from = start >= 0 ? 0 : min64(taps, ceil_div(-start, step));
    *to = start >= size ? *from : max64(*from, min64(taps, ceil_div(size - start, step)));
}
