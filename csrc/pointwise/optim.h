/* Optimiser updates in one pass over weights, gradient and state; settings are converted to REAL once. multiply_add
 * fixes which product is fused with which sum, so that all compilers give the same bits. Also factors and
 * limits of gradients, for clipping. */
typedef struct {
    int64_t n;
    REAL *w, *m, *v, *u; /* m: velocity, Adam's means; v: means or sums of squares; u: one more, as the task says */
    const REAL *g;
    REAL lr, now, decay, shrink, beta1, rate1, beta2, rate2, correction, inside, eps;
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

/* sqrt(correction*v + inside) + eps: of `inside` and eps one is zero */
INLINE vec root_of(step_job job, vec v) {
    return square_root(multiply_add(broadcast(job.correction), v, broadcast(job.inside))) + broadcast(job.eps);
}

static void step_run(const step_job *job, double cost, fn_task body) {
    const double work = (double)job->n * cost / LANES;
    fn_parallel_batched(ceil_div(job->n, STEP_BLOCK), work, body, job, sizeof *job, job->w);
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

/* m = beta1*m + rate1*g; w -= lr*m, or with Nesterov's momentum lr*(beta1*m + now*g) */
static void momentum_task(void *context, int64_t task, int thread) {
    const step_job job = *(const step_job *)context;
    const vec minus_lr = broadcast(-job.lr), beta1 = broadcast(job.beta1), rate1 = broadcast(job.rate1);
    const vec now = broadcast(job.now);
    (void)thread;
    EACH_STEP(task) {
        vec w = load_part(job.w + i, lanes), slope = slope_of(job, i, w, lanes);
        vec m = multiply_add(beta1, load_part(job.m + i, lanes), rate1 * slope);
        vec along = job.nesterov ? multiply_add(beta1, m, now * slope) : m;
        store_part(job.m + i, m, lanes);
        store_part(job.w + i, multiply_add(minus_lr, along, w), lanes);
    }
}

/* A velocity of steps has the rate in it: m = momentum*m - lr*g; w += m. */
static void sgd_step(int64_t n, void *w, const void *g, void *velocity, double lr, double momentum, double dampening,
                     int nesterov, int of_steps, double weight_decay) {
    step_job job = {.n = n,
                    .w = w,
                    .m = velocity,
                    .g = g,
                    .lr = of_steps && velocity ? -1 : (REAL)lr,
                    .now = of_steps ? (REAL)-lr : 1,
                    .decay = (REAL)weight_decay,
                    .beta1 = (REAL)momentum,
                    .rate1 = (REAL)((of_steps ? -lr : 1) * (1 - dampening)),
                    .nesterov = nesterov};
    step_run(&job, 3, velocity ? momentum_task : sgd_task);
}

/* v = beta2*v + rate2*g^2 (AdaGrad: v += g^2, both 1); w -= lr*g / (sqrt(v) + eps).  RMSprop has two options: with u,
 * the mean of the gradients, v - u^2 stands for v; with a velocity m = beta1*m + g / (sqrt(v) + eps), w -= lr*m. */
static void squares_task(void *context, int64_t task, int thread) {
    const step_job job = *(const step_job *)context;
    const vec minus_lr = broadcast(-job.lr), beta1 = broadcast(job.beta1);
    const vec beta2 = broadcast(job.beta2), rate2 = broadcast(job.rate2), zero = broadcast(0);
    (void)thread;
    EACH_STEP(task) {
        vec w = load_part(job.w + i, lanes), slope = slope_of(job, i, w, lanes);
        vec v = multiply_add(rate2 * slope, slope, beta2 * load_part(job.v + i, lanes));
        store_part(job.v + i, v, lanes);
        if (job.u) {
            vec mean = multiply_add(rate2, slope, beta2 * load_part(job.u + i, lanes));
            store_part(job.u + i, mean, lanes);
            v = multiply_add(-mean, mean, v);
            v = blend(v < zero, zero, v); /* rounding; NaN stays */
        }
        vec along = slope / root_of(job, v);
        if (job.m) {
            along = multiply_add(beta1, load_part(job.m + i, lanes), along);
            store_part(job.m + i, along, lanes);
        }
        store_part(job.w + i, multiply_add(minus_lr, along, w), lanes);
    }
}

static void adagrad_step(int64_t n, void *w, const void *g, void *squares, double lr, double eps, int eps_inside,
                         double weight_decay) {
    step_job job = {.n = n,
                    .w = w,
                    .v = squares,
                    .g = g,
                    .lr = (REAL)lr,
                    .decay = (REAL)weight_decay,
                    .beta2 = 1,
                    .rate2 = 1,
                    .correction = 1,
                    .inside = eps_inside ? (REAL)eps : 0,
                    .eps = eps_inside ? 0 : (REAL)eps};
    step_run(&job, 8, squares_task);
}

static void rmsprop_step(int64_t n, void *w, const void *g, void *squares, void *mean, void *velocity, double lr,
                         double alpha, double eps, int eps_inside, double momentum, double weight_decay) {
    step_job job = {.n = n,
                    .w = w,
                    .m = velocity,
                    .v = squares,
                    .u = mean,
                    .g = g,
                    .lr = (REAL)lr,
                    .decay = (REAL)weight_decay,
                    .beta1 = (REAL)momentum,
                    .beta2 = (REAL)alpha,
                    .rate2 = (REAL)(1 - alpha),
                    .correction = 1,
                    .inside = eps_inside ? (REAL)eps : 0,
                    .eps = eps_inside ? 0 : (REAL)eps};
    step_run(&job, 8, squares_task);
}

/* v = beta2*v + rate2*g^2; d = sqrt((u + inside) / (v + inside)) * g; u = beta2*u + rate2*d^2; w -= lr*d */
static void adadelta_task(void *context, int64_t task, int thread) {
    const step_job job = *(const step_job *)context;
    const vec minus_lr = broadcast(-job.lr), beta2 = broadcast(job.beta2), rate2 = broadcast(job.rate2);
    const vec inside = broadcast(job.inside);
    (void)thread;
    EACH_STEP(task) {
        vec w = load_part(job.w + i, lanes), slope = slope_of(job, i, w, lanes), u = load_part(job.u + i, lanes);
        vec v = multiply_add(rate2 * slope, slope, beta2 * load_part(job.v + i, lanes));
        vec d = square_root((u + inside) / (v + inside)) * slope;
        store_part(job.v + i, v, lanes);
        store_part(job.u + i, multiply_add(rate2 * d, d, beta2 * u), lanes);
        store_part(job.w + i, multiply_add(minus_lr, d, w), lanes);
    }
}

static void adadelta_step(int64_t n, void *w, const void *g, void *squares, void *updates, double lr, double rho,
                          double eps, double weight_decay) {
    step_job job = {.n = n,
                    .w = w,
                    .v = squares,
                    .u = updates,
                    .g = g,
                    .lr = (REAL)lr,
                    .decay = (REAL)weight_decay,
                    .beta2 = (REAL)rho,
                    .rate2 = (REAL)(1 - rho),
                    .inside = (REAL)eps};
    step_run(&job, 8, adadelta_task);
}

/* m = beta1*m + rate1*g; v = beta2*v + rate2*g^2; w = shrink*w - (lr*m + now*g) / (sqrt(correction*v) + eps).  Of Adam,
 * lr is the rate / (1 - beta1^t), `now` 0, correction 1 / (1 - beta2^t), and shrink 1 - rate*decay when decay is
 * decoupled, else 1.  With u, the largest v so far stands for v. */
static void adam_task(void *context, int64_t task, int thread) {
    const step_job job = *(const step_job *)context;
    const vec lr = broadcast(job.lr), now = broadcast(job.now), shrink = broadcast(job.shrink);
    const vec beta1 = broadcast(job.beta1), rate1 = broadcast(job.rate1);
    const vec beta2 = broadcast(job.beta2), rate2 = broadcast(job.rate2);
    (void)thread;
    EACH_STEP(task) {
        vec w = load_part(job.w + i, lanes), slope = slope_of(job, i, w, lanes);
        vec m = multiply_add(beta1, load_part(job.m + i, lanes), rate1 * slope);
        vec v = multiply_add(rate2 * slope, slope, beta2 * load_part(job.v + i, lanes));
        store_part(job.m + i, m, lanes);
        store_part(job.v + i, v, lanes);
        if (job.u) {
            vec largest = load_part(job.u + i, lanes);
            v = blend(largest > v, largest, v);
            store_part(job.u + i, v, lanes);
        }
        vec down = multiply_add(now, slope, lr * m) / root_of(job, v);
        store_part(job.w + i, multiply_add(shrink, w, -down), lanes);
    }
}

INLINE double whole_power(double base, int64_t exponent) {
    double result = 1;
    for (; exponent > 0; exponent >>= 1, base *= base)
        if (exponent & 1) result *= base;
    return result;
}

/* What Adam and its relatives have in common; lr: the rate, of which decoupled decay takes its share. */
static step_job adam_job(int64_t n, void *w, const void *g, void *m, void *v, double lr, double beta1, double beta2,
                         double correction, double eps, int eps_inside, double weight_decay, int decoupled) {
    return (step_job){.n = n,
                      .w = w,
                      .m = m,
                      .v = v,
                      .g = g,
                      .decay = decoupled ? 0 : (REAL)weight_decay,
                      .shrink = decoupled ? (REAL)(1 - lr * weight_decay) : 1,
                      .beta1 = (REAL)beta1,
                      .rate1 = (REAL)(1 - beta1),
                      .beta2 = (REAL)beta2,
                      .rate2 = (REAL)(1 - beta2),
                      .correction = (REAL)correction,
                      .inside = eps_inside ? (REAL)eps : 0,
                      .eps = eps_inside ? 0 : (REAL)eps};
}

static void adam_step(int64_t n, void *w, const void *g, void *m, void *v, void *largest, int64_t t, double lr,
                      double beta1, double beta2, double eps, int eps_inside, int bias_correction, double weight_decay,
                      int decoupled) {
    double correction = bias_correction ? 1 / (1 - whole_power(beta2, t)) : 1;
    step_job job = adam_job(n, w, g, m, v, lr, beta1, beta2, correction, eps, eps_inside, weight_decay, decoupled);
    job.u = largest;
    job.lr = (REAL)(bias_correction ? lr / (1 - whole_power(beta1, t)) : lr);
    step_run(&job, 12, adam_task);
}

/* The momentum of step t is mu, that of the next step next_mu, and `product` is that of all momenta up to step t. */
static void nadam_step(int64_t n, void *w, const void *g, void *m, void *v, int64_t t, double lr, double mu,
                       double next_mu, double product, double beta1, double beta2, double eps, int eps_inside,
                       double weight_decay, int decoupled) {
    double correction = 1 / (1 - whole_power(beta2, t));
    step_job job = adam_job(n, w, g, m, v, lr, beta1, beta2, correction, eps, eps_inside, weight_decay, decoupled);
    job.lr = (REAL)(lr * next_mu / (1 - product * next_mu));
    job.now = (REAL)(lr * (1 - mu) / (1 - product));
    step_run(&job, 12, adam_task);
}

/* ---- clipping ---- */

/* w *= lr */
static void rescale_task(void *context, int64_t task, int thread) {
    const step_job job = *(const step_job *)context;
    const vec factor = broadcast(job.lr);
    (void)thread;
    EACH_STEP(task) store_part(job.w + i, load_part(job.w + i, lanes) * factor, lanes);
}

static void rescale(int64_t n, void *x, double factor) {
    step_job job = {.n = n, .w = x, .lr = (REAL)factor};
    step_run(&job, 2, rescale_task);
}

/* w = min(max(w, -lr), lr); NaN stays */
static void clip_task(void *context, int64_t task, int thread) {
    const step_job job = *(const step_job *)context;
    (void)thread;
    EACH_STEP(task) store_part(job.w + i, clamp(load_part(job.w + i, lanes), -job.lr, job.lr), lanes);
}

static void clip(int64_t n, void *x, double size) {
    step_job job = {.n = n, .w = x, .lr = (REAL)size};
    step_run(&job, 2, clip_task);
}
