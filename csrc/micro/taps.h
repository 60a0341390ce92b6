/* Which taps of a window lie inside the image: those r of [0, taps) for which start + r*step lies in [0, size), which
 * are [*from, *to). */
INLINE void taps_inside(int64_t start, int64_t step, int64_t size, int64_t taps, int64_t *from, int64_t *to) {
    *from = start >= 0 ? 0 : min64(taps, ceil_div(-start, step));
    *to = start >= size ? *from : max64(*from, min64(taps, ceil_div(size - start, step)));
}
