/* Sums in double: eight interleaved parts of each block of elements, added in a fixed order, and the blocks in turn. */
INLINE double sum_eight(const double *part) {
    return ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
}

/* A vector of eight doubles on every target. */
typedef double eight_doubles __attribute__((vector_size(64)));
typedef int64_t eight_wholes __attribute__((vector_size(64)));
typedef REAL eight_reals __attribute__((vector_size(8 * sizeof(REAL))));

typedef struct {
    int64_t n;
    const REAL *x;
    double *sums; /* of each block: magnitudes, squares */
} sums_job;

enum { SUMS_BLOCK = FN_SUMS_BLOCK };

static void block_sums_task(void *context, int64_t task, int thread) {
    const sums_job *job = context;
    int64_t first = task * SUMS_BLOCK, count = min64(SUMS_BLOCK, job->n - first), j;
    const REAL *x = job->x + first;
    const eight_wholes no_sign = (eight_wholes){0} + INT64_MAX;
    eight_doubles magnitudes = {0}, squares = {0};
    double magnitude[8], square[8];
    (void)thread;
    for (j = 0; j + 8 <= count; j += 8) {
        eight_reals some;
        memcpy(&some, x + j, sizeof some);
        eight_doubles wide = __builtin_convertvector(some, eight_doubles);
        magnitudes += (eight_doubles)((eight_wholes)wide & no_sign);
        squares += wide * wide;
    }
    memcpy(magnitude, &magnitudes, sizeof magnitude);
    memcpy(square, &squares, sizeof square);
    for (int i = 0; j + i < count; i++) {
        double value = (double)x[j + i];
        magnitude[i] += value < 0 ? -value : value;
        square[i] = multiply_add_double(value, value, square[i]);
    }
    job->sums[2 * task] = sum_eight(magnitude), job->sums[2 * task + 1] = sum_eight(square);
}

static void block_sums(int64_t n, const void *x, double *sums) {
    sums_job job = {n, x, sums};
    fn_parallel_batched(ceil_div(n, SUMS_BLOCK), (double)n * 3 / LANES, block_sums_task, &job, sizeof job, sums);
}

static fn_status power_sums(int64_t n, const void *x, double *magnitudes, double *squares) {
    int64_t blocks = ceil_div(n, SUMS_BLOCK);
    double few[32], *sums = few;
    *magnitudes = *squares = 0;
    if (blocks > 16) sums = fn_alloc((size_t)(2 * blocks) * sizeof(double), FN_SCRATCH);
    if (!sums) return FN_NO_MEMORY;
    block_sums(n, x, sums);
    for (int64_t i = 0; i < blocks; i++) *magnitudes += sums[2 * i], *squares += sums[2 * i + 1];
    if (sums != few) fn_free(sums);
    return FN_OK;
}
