/* Elementwise functions and their derivatives on whole arrays; they may work in place. */
typedef struct {
    int64_t n;
    const REAL *in, *saved;
    REAL a, b, *out;
    map_function run;
    int large; /* see is_large */
} map_job;

enum { MAP_BLOCK = 16384, MAP_PIECE = 256 };

/* The values of a large output go to memory by way of a piece of the stack that stays in the L1 cache. */
static void map_large(const map_job *job, int64_t first, int64_t count) {
    REAL values[MAP_PIECE] __attribute__((aligned(64)));
    int64_t whole_lanes = count / LANES * LANES;
    for (int64_t i = 0; i < whole_lanes; i += MAP_PIECE) {
        int64_t size = min64(MAP_PIECE, whole_lanes - i), at = first + i;
        job->run(size, job->a, job->b, job->in + at, job->saved + at, values);
        for (int64_t j = 0; j < size; j += LANES) store_around(job->out + at + j, load(values + j));
    }
    store_fence();
    first += whole_lanes;
    job->run(count - whole_lanes, job->a, job->b, job->in + first, job->saved + first, job->out + first);
}

static void map_task(void *context, int64_t task, int thread) {
    const map_job *job = context;
    int64_t first = task * MAP_BLOCK, count = min64(MAP_BLOCK, job->n - first);
    (void)thread;
    if (job->large) map_large(job, first, count);
    else job->run(count, job->a, job->b, job->in + first, job->saved + first, job->out + first);
}

static void map(map_function run, int cost, int64_t n, double a, double b, const void *in, const void *saved,
                void *out) {
    int large = out != in && out != saved && is_large(out, MAP_BLOCK * sizeof(REAL), n * (int64_t)sizeof(REAL));
    map_job job = {n, in, saved, (REAL)a, (REAL)b, out, run, large};
    fn_parallel(ceil_div(n, MAP_BLOCK), (double)n * cost / LANES, map_task, &job);
}

static void map_forward(fn_map kernel, int64_t n, double a, double b, const void *x, void *y) {
    map(maps[kernel].values, maps[kernel].y_cost, n, a, b, x, x, y);
}

static void map_backward(fn_map kernel, int64_t n, double a, double b, const void *dy, const void *saved, void *dx) {
    map(maps[kernel].slopes, maps[kernel].dx_cost, n, a, b, dy, saved, dx);
}

MAP_FUNCTION(sum_values, x, x + saved)
static void add(int64_t n, const void *a, const void *b, void *y) { map(sum_values, 2, n, 0, 0, a, b, y); }
