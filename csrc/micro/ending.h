/* Activations of many adjacent elements, pixel by pixel and within a pixel channel by channel: PReLU alone, and what
 * norms end in. Convolutions and products have micro/epilogue.h, of which this is the last step. Needs that.
 */
typedef struct {
    int activation;
    REAL a, b; /* its parameters */
    int64_t period;
    REAL *slopes; /* of prelu, else NULL: repeated for a period, a multiple of C, and one more vector */
} ending;

/* ending_end frees it, also if this fails. */
static fn_status ending_begin(ending *end, int64_t C, const fn_epilogue *given) {
    *end = (ending){.activation = given->activation, .a = (REAL)given->a, .b = (REAL)given->b, .period = C};
    if (given->activation != FN_ACTIVATION_prelu) return FN_OK;
    while (end->period < LANES) end->period += C;
    end->slopes = fn_alloc((size_t)(end->period + LANES) * sizeof(REAL), FN_SCRATCH);
    if (!end->slopes) return FN_NO_MEMORY;
    for (int64_t j = 0; j < end->period + LANES; j++) end->slopes[j] = ((const REAL *)given->slopes)[j % C];
    return FN_OK;
}

static void ending_end(ending *end) { fn_free(end->slopes); }

/* Whether norms leave an activation to this header. They rectify by themselves. */
INLINE int ends_apart(int activation) { return activation != FN_NO_ACTIVATION && activation != FN_ACTIVATION_relu; }

/* y, which may be x; x[0] is element number `first` after one of channel 0. */
static void ending_values(const ending *end, int64_t first, int64_t n, const REAL *x, REAL *y) {
    if (!end->slopes) {
        maps[end->activation - 1].values(n, end->a, end->b, x, x, y);
        return;
    }
    for (int64_t i = 0, j = first % end->period; i < n; i += LANES) {
        store_part(y + i, bend(load_part(x + i, n - i), load(end->slopes + j)), n - i);
        j += LANES;
        if (j >= end->period) j -= end->period;
    }
}

INLINE void copy_around(int64_t n, const REAL *from, REAL *to) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) store_around(to + i, load(from + i));
    store_part(to + i, load_part(from + i, n - i), n - i);
}

/* The same for values in the L1 cache, which it may change; `before`, or NULL, receives them. large: see is_large; the
 * caller calls store_fence. */
static void ending_store(const ending *end, int64_t first, int64_t n, REAL *values, REAL *before, REAL *y, int large) {
    if (before && large) copy_around(n, values, before);
    else if (before) memcpy(before, values, (size_t)n * sizeof(REAL));
    ending_values(end, first, n, values, large ? values : y);
    if (large) copy_around(n, values, y);
}
