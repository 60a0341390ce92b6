/* The convolution algorithms, and the three steps of a job: measure sets the sizes of `prepared` and `scratch`, prepare
 * packs the weights, run computes. The steps are separate so that inference can keep the packed weights. Needs the
 * header of each algorithm.
 */
struct conv_algorithm {
    const char *name; /* as profiles show it */
    int (*fits)(const conv_job *job); /* whether it can run the job and is worth it there; reads run.use */
    void (*measure)(conv_job *job);
    void (*prepare)(conv_job *job);
    void (*run)(conv_job *job);
};

/* The first that fits runs. Winograd and depthwise each sum in an order of their own, so only the shape, the dtype and
 * run.use may select them. The last three give the same bits, so `narrow` may also depend on the vector width.
 */
static const conv_algorithm conv_algorithms[] = {
    {"depthwise", depthwise_fits, depthwise_measure, depthwise_prepare, depthwise_run},
    {"winograd", winograd_fits, winograd_measure, winograd_prepare, winograd_run},
    {"small", small_fits, gemm_measure, gemm_prepare, small_run},
    {"narrow", narrow_fits, narrow_measure, narrow_prepare, narrow_run},
    {"gemm", gemm_fits, gemm_measure, gemm_prepare, gemm_run},
};

/* Choose the algorithm, and divide the job into tasks. */
static void conv_plan(conv_job *job) {
    const conv_algorithm *algorithm = conv_algorithms;
    while (!algorithm->fits(job)) algorithm++;
    job->run.algorithm = algorithm;
    algorithm->measure(job);
}

static void conv_execute(conv_job *job) {
    fn_note(job->run.algorithm->name);
    job->run.algorithm->run(job);
}

INLINE int64_t conv_scratch_bytes(const conv_job *job) {
    return job->run.threads * job->run.scratch_bytes + job->run.shared_bytes;
}

/* Vector multiply-adds of a convolution: the `work` argument of fn_parallel_on. */
INLINE double conv_work(const fn_conv *g) {
    return (double)(g->N * g->P * g->Q) * (double)(g->K * (g->C / g->groups) * g->R * g->S) / LANES;
}

/* Choose an algorithm and prepare the weights for several runs; the caller frees run.prepared. */
static fn_status conv_begin(conv_job *job) {
    job->run.use = USED_FOR_BLOCKS;
    conv_plan(job);
    job->run.prepared = fn_alloc((size_t)job->run.prepared_bytes, FN_SCRATCH);
    if (!job->run.prepared) return FN_NO_MEMORY;
    job->run.algorithm->prepare(job);
    return FN_OK;
}

/* Run a job once, with weights prepared for this run alone. */
static fn_status conv_run(conv_job *job) {
    if (job->conv.N * job->conv.P * job->conv.Q == 0) return FN_OK;
    job->run.use = USED_ONCE;
    conv_plan(job);
    job->run.prepared = fn_alloc((size_t)job->run.prepared_bytes, FN_SCRATCH);
    job->run.scratch = fn_alloc((size_t)conv_scratch_bytes(job), FN_SCRATCH);
    fn_status status = job->run.prepared && job->run.scratch ? FN_OK : FN_NO_MEMORY;
    if (status == FN_OK) {
        job->run.algorithm->prepare(job);
        conv_execute(job);
    }
    fn_free(job->run.prepared);
    fn_free(job->run.scratch);
    return status;
}

/* Run a job prepared by conv_begin on `count` images, from `in` to `out`. */
static fn_status conv_run_images(const conv_job *whole, int threads, int64_t count, const REAL *in, REAL *out) {
    conv_job job = *whole;
    if (count * job.conv.P * job.conv.Q == 0) return FN_OK;
    job.conv.N = count;
    job.at.in = in;
    job.at.out = out;
    job.run.threads = threads;
    job.run.algorithm->measure(&job);
    job.run.scratch = fn_alloc((size_t)conv_scratch_bytes(&job), FN_SCRATCH);
    if (!job.run.scratch) return FN_NO_MEMORY;
    conv_execute(&job);
    fn_free(job.run.scratch);
    return FN_OK;
}
