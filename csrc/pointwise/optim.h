/* Optimiser updates in one pass over weights, gradient and state; settings are converted to REAL once. multiply_add
 * fixes which product is fused with which sum, so that all compilers give the same bits. */
typedef struct {
    int64_t n;
    REAL *w, *m, *v; /* m: velocity, Adam's means; v: means or sums of squares */
    const REAL *g;
    REAL lr, decay, shrink, beta1, rate1, beta2, rate2, correction, eps;
    int nesterov;
} step_job;

enum { STEP_BLOCK = 8192 };

/* Loop over a task's vectors: `lanes` elements remain from i on. The job is copied so that stores cannot alias it. */
#define EACH_STEP(task)                                                                                    \
    for (int64_t i = (task) * STEP_BLOCK, last = min64(i + STEP_BLOCK, job.n), lanes = last - i; i < last; \
         i += LANES, lanes -= LANES)

/* g' = g + decay*w, which the formulas below call g. */
INLINE vec slope_of(step_job job, int64_t i, vec w, int64_t lanes) {
    return multiply_add(broadcast(job.decay), w, load_part(job.g + i, lanes));
}

static void step_run(const step_job *job, double cost, fn_task body) {
    fn_parallel(ceil_div(job->n, STEP_BLOCK), (double)job->n * cost / LANES, body, (void *)job);
}

/* w -= lr*g */
static void sgd_task(void *context, int64_t task, int thread) {
    const step_job job = *(const step_job *)context;
    const vec minus_lr = broadcast(-job.lr);
    (void)thread;
    EACH_STEP(task) {
        vec w = load_part(job.w + i, lanes);
        store_part(job.w + i, multiply_add(minus_lr, slope_of(job, i, w, lanes), w), lanes);
    }
}

/* m = beta1*m + rate1*g; w -= lr*m, or with Nesterov's momentum lr*(g + beta1*m) */
static void momentum_task(void *context, int64_t task, int thread) {
    const step_job job = *(const step_job *)context;
    const vec minus_lr = broadcast(-job.lr), beta1 = broadcast(job.beta1), rate1 = broadcast(job.rate1);
    (void)thread;
    EACH_STEP(task) {
        vec w = load_part(job.w + i, lanes), slope = slope_of(job, i, w, lanes);
        vec m = multiply_add(beta1, load_part(job.m + i, lanes), rate1 * slope);
        vec along = job.nesterov ? multiply_add(beta1, m, slope) : m;
        store_part(job.m + i, m, lanes);
        store_part(job.w + i, multiply_add(minus_lr, along, w), lanes);
    }
}

static void sgd_step(int64_t n, void *w, const void *g, void *velocity, double lr, double momentum, double dampening,
                     int nesterov, double weight_decay) {
    step_job job = {.n = n,
                    .w = w,
                    .m = velocity,
                    .g = g,
                    .lr = (REAL)lr,
                    .decay = (REAL)weight_decay,
                    .beta1 = (REAL)momentum,
                    .rate1 = (REAL)(1 - dampening),
                    .nesterov = nesterov};
    step_run(&job, 3, velocity ? momentum_task : sgd_task);
}

/* v = beta2*v + rate2*g^2 (AdaGrad: v += g^2, both 1); w -= lr*g / (sqrt(v) + eps) */
static void squares_task(void *context, int64_t task, int thread) {
    const step_job job = *(const step_job *)context;
    const vec lr = broadcast(job.lr), beta2 = broadcast(job.beta2), rate2 = broadcast(job.rate2),
              eps = broadcast(job.eps);
    (void)thread;
    EACH_STEP(task) {
        vec w = load_part(job.w + i, lanes), slope = slope_of(job, i, w, lanes);
        vec v = multiply_add(rate2 * slope, slope, beta2 * load_part(job.v + i, lanes));
        store_part(job.v + i, v, lanes);
        store_part(job.w + i, w - lr * slope / (square_root(v) + eps), lanes);
    }
}

static void adagrad_step(int64_t n, void *w, const void *g, void *squares, double lr, double eps, double weight_decay) {
    step_job job = {.n = n,
                    .w = w,
                    .v = squares,
                    .g = g,
                    .lr = (REAL)lr,
                    .decay = (REAL)weight_decay,
                    .beta2 = 1,
                    .rate2 = 1,
                    .eps = (REAL)eps};
    step_run(&job, 8, squares_task);
}

static void rmsprop_step(int64_t n, void *w, const void *g, void *squares, double lr, double alpha, double eps,
                         double weight_decay) {
    step_job job = {.n = n,
                    .w = w,
                    .v = squares,
                    .g = g,
                    .lr = (REAL)lr,
                    .decay = (REAL)weight_decay,
                    .beta2 = (REAL)alpha,
                    .rate2 = (REAL)(1 - alpha),
                    .eps = (REAL)eps};
    step_run(&job, 8, squares_task);
}

/* m = beta1*m + rate1*g; v = beta2*v + rate2*g^2; w = shrink*w - lr*m / (sqrt(correction*v) + eps), where lr is the
 * rate / (1 - beta1^t), correction 1 / (1 - beta2^t), and shrink 1 - rate*decay when decay is decoupled, else 1. */
static void adam_task(void *context, int64_t task, int thread) {
    const step_job job = *(const step_job *)context;
    const vec lr = broadcast(job.lr), beta1 = broadcast(job.beta1), rate1 = broadcast(job.rate1);
    const vec beta2 = broadcast(job.beta2), rate2 = broadcast(job.rate2), correction = broadcast(job.correction);
    const vec eps = broadcast(job.eps), shrink = broadcast(job.shrink);
    (void)thread;
    EACH_STEP(task) {
        vec w = load_part(job.w + i, lanes), slope = slope_of(job, i, w, lanes);
        vec m = multiply_add(beta1, load_part(job.m + i, lanes), rate1 * slope);
        vec v = multiply_add(rate2 * slope, slope, beta2 * load_part(job.v + i, lanes));
        vec down = lr * m / (square_root(correction * v) + eps);
        store_part(job.m + i, m, lanes);
        store_part(job.v + i, v, lanes);
        store_part(job.w + i, multiply_add(shrink, w, -down), lanes);
    }
}

INLINE double whole_power(double base, int64_t exponent) {
    double result = 1;
    for (; exponent > 0; exponent >>= 1, base *= base)
        if (exponent & 1) result *= base;
    return result;
}

static void adam_step(int64_t n, void *w, const void *g, void *m, void *v, int64_t t, double lr, double beta1,
                      double beta2, double eps, double weight_decay, int decoupled) {
    step_job job = {.n = n,
                    .w = w,
                    .m = m,
                    .v = v,
                    .g = g,
                    .lr = (REAL)(lr / (1 - whole_power(beta1, t))),
                    .decay = decoupled ? 0 : (REAL)weight_decay,
                    .shrink = decoupled ? (REAL)(1 - lr * weight_decay) : 1,
                    .beta1 = (REAL)beta1,
                    .rate1 = (REAL)(1 - beta1),
                    .beta2 = (REAL)beta2,
                    .rate2 = (REAL)(1 - beta2),
                    .correction = (REAL)(1 / (1 - whole_power(beta2, t))),
                    .eps = (REAL)eps};
    step_run(&job, 12, adam_task);
}
