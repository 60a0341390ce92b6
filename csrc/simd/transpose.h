/* to[j*to_stride + i] = from[i*from_stride + j] for i < rows, j < columns, in blocks of LANES x LANES. */

/* One butterfly: exchange lanes with bit `step` set between two rows that are `step` apart. */
INLINE void exchange(const int step, vec *low, vec *high) {
    mask from_low, from_high;
    for (int lane = 0; lane < LANES; lane++) {
        from_low[lane] = lane & step ? LANES + lane - step : lane;
        from_high[lane] = lane & step ? LANES + lane : lane + step;
    }
    vec a = *low, b = *high;
    *low = shuffle(a, b, from_low);
    *high = shuffle(a, b, from_high);
}

/* Transpose blocks of part x part elements, a power of two, in `part` vectors. The steps are literals, so that the
 * lanes are known at compile time. */
INLINE void turn(const int part, vec *row) {
#define TURN(step)                        \
    UNROLL_FOR (int i = 0; i < part; i++) \
        if (part > (step) && !(i & (step))) exchange(step, &row[i], &row[(i + (step)) % LANES]);
    TURN(1)
    TURN(2)
    TURN(4)
    TURN(8)
#undef TURN
}

INLINE void transpose_block(int64_t columns, const REAL *from, int64_t from_stride, REAL *to, int64_t to_stride) {
    vec row[LANES];
    UNROLL_FOR (int i = 0; i < LANES; i++) row[i] = load_part(from + i * from_stride, columns);
    turn(LANES, row);
    UNROLL_FOR (int i = 0; i < LANES; i++)
        if (i < columns) store(to + i * to_stride, row[i]);
}

static void transpose(int64_t rows, int64_t columns, const REAL *from, int64_t from_stride, REAL *to,
                      int64_t to_stride) {
    int64_t i = 0;
    for (; i + LANES <= rows; i += LANES) {
        int64_t j = 0;
        for (; j + LANES <= columns; j += LANES)
            transpose_block(LANES, from + i * from_stride + j, from_stride, to + j * to_stride + i, to_stride);
        if (j < columns)
            transpose_block(columns - j, from + i * from_stride + j, from_stride, to + j * to_stride + i, to_stride);
    }
    for (; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) to[j * to_stride + i] = from[i * from_stride + j];
}
