/* Averages of weights. */
typedef struct {
    int64_t n;
    REAL *average, decay, rate;
    const REAL *w;
} average_job;

enum { AVERAGE_BLOCK = 8192 };

static void mix_task(void *context, int64_t task, int thread) {
    const average_job job = *(const average_job *)context;
    const vec decay = broadcast(job.decay), rate = broadcast(job.rate);
    (void)thread;
    for (int64_t i = task * AVERAGE_BLOCK, last = min64(i + AVERAGE_BLOCK, job.n); i < last; i += LANES) {
        vec average = load_part(job.average + i, last - i), w = load_part(job.w + i, last - i);
        store_part(job.average + i, multiply_add(decay, average, rate * w), last - i);
    }
}

/* average = decay*average + (1 - decay)*w */
static void average_step(int64_t n, void *average, const void *w, double decay) {
    average_job job = {.n = n, .average = average, .decay = (REAL)decay, .rate = (REAL)(1 - decay), .w = w};
    fn_parallel_batched(ceil_div(n, AVERAGE_BLOCK), (double)n * 3 / LANES, mix_task, &job, sizeof job, average);
}
