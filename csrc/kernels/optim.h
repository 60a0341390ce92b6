/* Optimiser updates in one pass over weights, gradient and state; settings are converted to REAL once.  Plain loops:
 * the compiler knows square roots of vectors, and each element goes through the same operations wherever it lies. */
typedef struct {
    int64_t n;
    REAL *w, *m, *v; /* m: velocity, Adam's means; v: means or sums of squares */
    const REAL *g;
    REAL lr, decay, shrink, beta1, rate1, beta2, rate2, correction, eps;
    int nesterov;
} step_job;

enum { STEP_BLOCK = 8192 };

/* What every task starts with: its piece of the arrays.  g' = g + decay*w is the slope that the formulas call g. */
#define STEP(job, context, task, thread)                                                       \
    const step_job *job = context;                                                             \
    const int64_t from = (task) * STEP_BLOCK, count = min64(STEP_BLOCK, job->n - from);        \
    REAL *restrict w = job->w + from;                                                          \
    const REAL *restrict g = job->g + from;                                                    \
    const REAL lr = job->lr, decay = job->decay;                                               \
    (void)(thread)

static void step_run(const step_job *job, double cost, fn_task body) {
    fn_parallel(ceil_div(job->n, STEP_BLOCK), (double)job->n * cost / LANES, body, (void *)job);
}

INLINE REAL square_root(REAL x) { return __builtin_choose_expr(sizeof(REAL) == 4, __builtin_sqrtf, __builtin_sqrt)(x); }

/* w -= lr*g */
static void sgd_task(void *context, int64_t task, int thread) {
    STEP(job, context, task, thread);
    for (int64_t i = 0; i < count; i++) w[i] -= lr * (g[i] + decay * w[i]);
}

/* m = beta1*m + rate1*g; w -= lr*m, or with Nesterov's momentum lr*(g + beta1*m) */
static void momentum_task(void *context, int64_t task, int thread) {
    STEP(job, context, task, thread);
    const REAL beta1 = job->beta1, rate1 = job->rate1;
    REAL *restrict m = job->m + from;
    if (job->nesterov)
        for (int64_t i = 0; i < count; i++) {
            REAL slope = g[i] + decay * w[i];
            m[i] = beta1 * m[i] + rate1 * slope;
            w[i] -= lr * (slope + beta1 * m[i]);
        }
    else
        for (int64_t i = 0; i < count; i++) {
            m[i] = beta1 * m[i] + rate1 * (g[i] + decay * w[i]);
            w[i] -= lr * m[i];
        }
}

static void sgd_step(int64_t n, void *w, const void *g, void *velocity, double lr, double momentum, double dampening,
                     int nesterov, double weight_decay) {
    step_job job = {.n = n, .w = w, .m = velocity, .g = g, .lr = (REAL)lr, .decay = (REAL)weight_decay,
                    .beta1 = (REAL)momentum, .rate1 = (REAL)(1 - dampening), .nesterov = nesterov};
    step_run(&job, 3, velocity ? momentum_task : sgd_task);
}

/* v = beta2*v + rate2*g^2 (AdaGrad: v += g^2, both 1); w -= lr*g / (sqrt(v) + eps) */
static void squares_task(void *context, int64_t task, int thread) {
    STEP(job, context, task, thread);
    const REAL beta2 = job->beta2, rate2 = job->rate2, eps = job->eps;
    REAL *restrict v = job->v + from;
    for (int64_t i = 0; i < count; i++) {
        REAL slope = g[i] + decay * w[i];
        v[i] = beta2 * v[i] + rate2 * slope * slope;
        w[i] -= lr * slope / (square_root(v[i]) + eps);
    }
}

static void adagrad_step(int64_t n, void *w, const void *g, void *squares, double lr, double eps, double weight_decay) {
    step_job job = {.n = n, .w = w, .v = squares, .g = g, .lr = (REAL)lr, .decay = (REAL)weight_decay, .beta2 = 1,
                    .rate2 = 1, .eps = (REAL)eps};
    step_run(&job, 8, squares_task);
}

static void rmsprop_step(int64_t n, void *w, const void *g, void *squares, double lr, double decay_rate, double eps,
                         double weight_decay) {
    step_job job = {.n = n, .w = w, .v = squares, .g = g, .lr = (REAL)lr, .decay = (REAL)weight_decay,
                    .beta2 = (REAL)decay_rate, .rate2 = (REAL)(1 - decay_rate), .eps = (REAL)eps};
    step_run(&job, 8, squares_task);
}

/* m = beta1*m + rate1*g; v = beta2*v + rate2*g^2; w = shrink*w - lr*m / (sqrt(correction*v) + eps), where lr is the
 * rate / (1 - beta1^t), correction 1 / (1 - beta2^t), and shrink 1 - rate*decay when decay is decoupled, else 1. */
static void adam_task(void *context, int64_t task, int thread) {
    STEP(job, context, task, thread);
    const REAL beta1 = job->beta1, rate1 = job->rate1, beta2 = job->beta2, rate2 = job->rate2;
    const REAL shrink = job->shrink, correction = job->correction, eps = job->eps;
    REAL *restrict m = job->m + from, *restrict v = job->v + from;
    for (int64_t i = 0; i < count; i++) {
        REAL slope = g[i] + decay * w[i];
        m[i] = beta1 * m[i] + rate1 * slope;
        v[i] = beta2 * v[i] + rate2 * slope * slope;
        w[i] = shrink * w[i] - lr * m[i] / (square_root(correction * v[i]) + eps);
    }
}

INLINE double whole_power(double base, int64_t exponent) {
    double result = 1;
    for (; exponent > 0; exponent >>= 1, base *= base)
        if (exponent & 1) result *= base;
    return result;
}

static void adam_step(int64_t n, void *w, const void *g, void *m, void *v, int64_t t, double lr, double beta1, double beta2,
                      double eps, double weight_decay, int decoupled) {
    step_job job = {.n = n, .w = w, .m = m, .v = v, .g = g, .lr = (REAL)(lr / (1 - whole_power(beta1, t))),
                    .decay = decoupled ? 0 : (REAL)weight_decay,
                    .shrink = decoupled ? (REAL)(1 - lr * weight_decay) : 1, .beta1 = (REAL)beta1,
                    .rate1 = (REAL)(1 - beta1), .beta2 = (REAL)beta2, .rate2 = (REAL)(1 - beta2),
                    .correction = (REAL)(1 / (1 - whole_power(beta2, t))), .eps = (REAL)eps};
    step_run(&job, 12, adam_task);
}
