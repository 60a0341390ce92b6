/* The FMA peak: rounds of independent multiply-adds in registers on every thread, to compare kernels with. */
enum { PEAK_CHAINS = TILE_ROWS * 2 };

static void peak_task(void *context, int64_t task, int thread) {
    int64_t rounds = *(int64_t *)context;
    vec sum[PEAK_CHAINS], a = broadcast((REAL)0.5), b = broadcast((REAL)1e-3);
    (void)task, (void)thread;
    UNROLL_FOR (int i = 0; i < PEAK_CHAINS; i++) sum[i] = broadcast((REAL)i);
    for (int64_t round = 0; round < rounds; round++) {
        UNROLL_FOR (int i = 0; i < PEAK_CHAINS; i++) sum[i] = sum[i] * a + b;
    }
    for (int i = 1; i < PEAK_CHAINS; i++) sum[0] += sum[i];
    volatile REAL sink = sum[0][0];
    (void)sink;
}

/* Floating-point operations done. */
static double fma_burst(int64_t rounds) {
    int threads = fn_threads();
    fn_parallel_on(threads, threads, 1e9, peak_task, &rounds);
    return (double)threads * (double)rounds * PEAK_CHAINS * LANES * 2;
}
