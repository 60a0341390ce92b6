/* Elementwise functions and their derivatives on whole arrays; they may work in place. */
typedef struct {
    int64_t n;
    const REAL *in, *saved;
    REAL a, b, *out;
    map_function run;
} map_job;

enum { MAP_BLOCK = 16384 };

static void map_task(void *context, int64_t task, int thread) {
    const map_job *job = context;
    int64_t first = task * MAP_BLOCK, count = min64(MAP_BLOCK, job->n - first);
    (void)thread;
    job->run(count, job->a, job->b, job->in + first, job->saved + first, job->out + first);
}

static void map(map_function run, int cost, int64_t n, double a, double b, const void *in, const void *saved,
                void *out) {
    map_job job = {n, in, saved, (REAL)a, (REAL)b, out, run};
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
