/* y = w*x + b with two numbers w and b for a whole array.  Needs sum_eight() of pointwise/sums.h. */
typedef struct {
    int64_t n;
    const REAL *x, *dy;
    REAL w, b, *y;
    double *sums; /* two a block: of dy*x, of dy */
} scalar_job;

enum { SCALAR_BLOCK = 8192 };

static void scalar_forward_task(void *context, int64_t task, int thread) {
    const scalar_job job = *(const scalar_job *)context;
    const vec w = broadcast(job.w), b = broadcast(job.b);
    (void)thread;
    for (int64_t i = task * SCALAR_BLOCK, last = min64(i + SCALAR_BLOCK, job.n); i < last; i += LANES)
        store_part(job.y + i, multiply_add(w, load_part(job.x + i, last - i), b), last - i);
}

/* w, b: one number each, or NULL for 1 and 0 (-0, which changes no sum). */
static void scalar_affine(int64_t n, const void *x, const void *w, const void *b, void *y) {
    scalar_job job = {.n = n, .x = x, .w = 1, .b = (REAL)-0.0, .y = y};
    if (w) job.w = *(const REAL *)w;
    if (b) job.b = *(const REAL *)b;
    fn_parallel(ceil_div(n, SCALAR_BLOCK), (double)n * 2 / LANES, scalar_forward_task, &job);
}

static void scalar_sums_task(void *context, int64_t task, int thread) {
    const scalar_job *job = context;
    int64_t first = task * SCALAR_BLOCK, last = min64(first + SCALAR_BLOCK, job->n);
    double product[8] = {0}, sum[8] = {0};
    (void)thread;
    for (int64_t from = first; from < last; from += 8)
        for (int i = 0; i < (int)min64(8, last - from); i++) {
            double dy = (double)job->dy[from + i];
            if (job->x) product[i] = multiply_add_double((double)job->x[from + i], dy, product[i]);
            sum[i] += dy;
        }
    job->sums[2 * task] = sum_eight(product);
    job->sums[2 * task + 1] = sum_eight(sum);
}

/* dx = w*dy, dw = sum of dy*x, db = sum of dy.  dx, db, and x with dw: or NULL. */
static fn_status scalar_affine_backward(int64_t n, const void *dy, const void *x, const void *w, void *dx, void *dw,
                                        void *db) {
    if (dx) scalar_affine(n, dy, w, NULL, dx);
    if (!dw && !db) return FN_OK;
    int64_t blocks = ceil_div(n, SCALAR_BLOCK);
    scalar_job job = {.n = n, .x = dw ? x : NULL, .dy = dy};
    job.sums = fn_alloc((size_t)max64(1, 2 * blocks) * sizeof(double), FN_SCRATCH);
    if (!job.sums) return FN_NO_MEMORY;
    fn_parallel(blocks, (double)n * 4 / LANES, scalar_sums_task, &job);
    double product = 0, sum = 0;
    for (int64_t i = 0; i < blocks; i++) product += job.sums[2 * i], sum += job.sums[2 * i + 1];
    if (dw) *(REAL *)dw = (REAL)product;
    if (db) *(REAL *)db = (REAL)sum;
    fn_free(job.sums);
    return FN_OK;
}
