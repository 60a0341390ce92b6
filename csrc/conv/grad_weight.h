/* The weight gradient, by the first algorithm that fits. Needs conv/forward.h and the header of each
 * algorithm. */
typedef struct {
    const char *name; /* as profiles show it */
    int (*fits)(const weight_gradient *of);
    fn_status (*run)(const weight_gradient *of);
} weight_algorithm;

static int depthwise_weight_fits(const weight_gradient *of) { return of->conv.group > 0; }
static int small_weight_fits(const weight_gradient *of) { return is_small(&of->conv); }
static int gemm_weight_fits(const weight_gradient *of) {
    (void)of;
    return 1;
}

/* Each has its own order of summation, so only the shape and the dtype may select it. */
static const weight_algorithm weight_algorithms[] = {
    {"winograd", winograd_weight_fits, winograd_weight_run},
    {"depthwise", depthwise_weight_fits, depthwise_weight_run},
    {"small", small_weight_fits, small_weight_run},
    {"gemm", gemm_weight_fits, gemm_weight_run},
};

/* The gradient of one group, or of all if one job takes them together; x, dy, dw: of all groups. */
INLINE weight_gradient weight_gradient_of(const fn_conv *g, int64_t group, int threads, const REAL *x, const REAL *dy,
                                          REAL *dw) {
    conv_problem conv = forward_problem(g);
    return (weight_gradient){
        .conv = conv,
        .x = x + group * conv.C,
        .dy = dy + group * conv.K,
        .x_pixel = g->C,
        .dy_pixel = g->K,
        .dw = dw + group * conv.K * (g->C / g->groups) * g->R * g->S,
        .threads = threads,
    };
}

static fn_status conv_grad_weight(const fn_conv *g, const void *x, const void *dy, void *dw) {
    int threads = fn_threads();
    fn_status status = FN_OK;
    if (g->N == 0) {
        memset(dw, 0, (size_t)(g->K * (g->C / g->groups) * g->R * g->S) * sizeof(REAL));
        return FN_OK;
    }
    for (int64_t group = 0; group < conv_jobs(g) && status == FN_OK; group++) {
        const weight_gradient of = weight_gradient_of(g, group, threads, x, dy, dw);
        const weight_algorithm *algorithm = weight_algorithms;
        while (!algorithm->fits(&of)) algorithm++;
        fn_note(algorithm->name);
        status = algorithm->run(&of);
    }
    return status;
}
