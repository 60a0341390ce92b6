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

INLINE void transpose_block(int64_t columns, const REAL *from, int64_t from_stride, REAL *to, int64_t to_stride) {
    vec row[LANES];
    UNROLL_FOR (int i = 0; i < LANES; i++) row[i] = load_part(from + i * from_stride, columns);
    UNROLL_FOR (int i = 0; i < LANES; i++)
        if (!(i & 1)) exchange(1, &row[i], &row[i + 1]);
    UNROLL_FOR (int i = 0; i < LANES; i++)
        if (LANES > 2 && !(i & 2)) exchange(2, &row[i], &row[(i + 2) % LANES]);
    UNROLL_FOR (int i = 0; i < LANES; i++)
        if (LANES > 4 && !(i & 4)) exchange(4, &row[i], &row[(i + 4) % LANES]);
    UNROLL_FOR (int i = 0; i < LANES; i++)
        if (LANES > 8 && !(i & 8)) exchange(8, &row[i], &row[(i + 8) % LANES]);
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
