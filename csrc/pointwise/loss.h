/* Losses over scores (N, C).  Rows are independent; sums over C are accumulated in eight interleaved parts, and the
 * rows' losses are added in order, all in double.  Needs softmax.h. */
typedef struct {
    int64_t N, C, rows_per_task;
    const REAL *scores;
    const int64_t *labels; /* NULL: soft labels */
    const REAL *targets, *weight; /* weight: of each class, or NULL */
    int64_t ignored;
    int squared;
    double smoothing, margin, counted, share, *losses; /* share: 1 / counted; losses: one a row */
    REAL *dscores;
} loss_job;

/* The loss is the rows' sum divided by job->counted. */
static fn_status loss_run(loss_job *job, double cost, fn_task body, double *loss) {
    *loss = 0;
    if (job->N == 0 || job->C == 0) return FN_OK;
    job->losses = fn_alloc((size_t)job->N * sizeof(double), FN_SCRATCH);
    if (!job->losses) return FN_NO_MEMORY;
    job->rows_per_task = max64(1, 4096 / job->C);
    fn_parallel(ceil_div(job->N, job->rows_per_task), (double)job->N * (double)job->C * cost / LANES, body, job);
    for (int64_t n = 0; n < job->N; n++) *loss += job->losses[n];
    *loss /= job->counted;
    fn_free(job->losses);
    return FN_OK;
}

/* The number of labels that count. */
static double counted_labels(const loss_job *job) {
    int64_t counted = 0;
    for (int64_t n = 0; n < job->N; n++) counted += job->labels[n] != job->ignored;
    return (double)max64(1, counted);
}

INLINE double weight_of(const loss_job *job, int64_t c) { return job->weight ? (double)job->weight[c] : 1; }

/* loss = log(sum_j e_j) - (s_label - m), e_j = e^(s_j - m), m = max s;  dscores = (e / sum e - onehot) / N */
static void softmax_task(void *context, int64_t task, int thread) {
    const loss_job *job = context;
    int64_t first = task * job->rows_per_task, last = min64(first + job->rows_per_task, job->N), C = job->C;
    (void)thread;
    for (int64_t n = first; n < last; n++) {
        const REAL *s = job->scores + n * C;
        REAL *d = job->dscores + n * C;
        int64_t label = job->labels[n];
        if (label == job->ignored) {
            memset(d, 0, (size_t)C * sizeof(REAL));
            job->losses[n] = 0;
            continue;
        }
        const REAL largest = largest_of(C, s);
        const double shifted_label = (double)(REAL)(s[label] - largest);
        double total = exp_row(C, s, largest, d);
        double scale = job->share / total, at_label = (double)d[label] / total - 1;
        for (int64_t j = 0; j < C; j++) d[j] = (REAL)((double)d[j] * scale);
        d[label] = (REAL)(at_label * job->share);
        job->losses[n] = log_of(total) - shifted_label;
    }
}

/* With weights w, and probabilities t or a label that is smoothed: q_j = w_j ((1 - smoothing) t_j + smoothing / C),
 * loss = sum_j q_j (log(sum e) - (s_j - m)), dscores_j = (sum q * e_j / sum e - q_j) * share. */
static void soft_label_task(void *context, int64_t task, int thread) {
    const loss_job *job = context;
    int64_t first = task * job->rows_per_task, last = min64(first + job->rows_per_task, job->N), C = job->C;
    const double kept = 1 - job->smoothing, spread = job->smoothing / (double)C;
    (void)thread;
    for (int64_t n = first; n < last; n++) {
        const REAL *s = job->scores + n * C, *targets = job->targets ? job->targets + n * C : NULL;
        REAL *d = job->dscores + n * C;
        int64_t label = job->labels ? job->labels[n] : -1;
        if (job->labels && label == job->ignored) {
            memset(d, 0, (size_t)C * sizeof(REAL));
            job->losses[n] = 0;
            continue;
        }
        const REAL largest = largest_of(C, s);
        double total = exp_row(C, s, largest, d), log_total = log_of(total), loss[8] = {0}, mass[8] = {0};
        for (int64_t from = 0; from < C; from += 8)
            for (int i = 0; i < (int)min64(8, C - from); i++) {
                int64_t j = from + i;
                double t = targets ? (double)targets[j] : (double)(j == label);
                double q = weight_of(job, j) * multiply_add_double(kept, t, spread);
                double information = log_total - (double)(REAL)(s[j] - largest);
                mass[i] += q;
                loss[i] = multiply_add_double(q, q == 0 ? 0 : information, loss[i]);
            }
        double scale = sum_eight(mass) / total;
        for (int64_t j = 0; j < C; j++) {
            double t = targets ? (double)targets[j] : (double)(j == label);
            double q = weight_of(job, j) * multiply_add_double(kept, t, spread);
            d[j] = (REAL)(multiply_add_double(scale, (double)d[j], -q) * job->share);
        }
        job->losses[n] = sum_eight(loss);
    }
}

static fn_status softmax_loss(int64_t N, int64_t C, const void *scores, const int64_t *labels, const void *weight,
                              int64_t ignored, double smoothing, double *loss, void *dscores) {
    loss_job job = {.N = N,
                    .C = C,
                    .scores = scores,
                    .labels = labels,
                    .weight = weight,
                    .ignored = ignored,
                    .smoothing = smoothing,
                    .dscores = dscores};
    job.counted = weight ? 0 : counted_labels(&job);
    for (int64_t n = 0; weight && n < N; n++) job.counted += labels[n] == ignored ? 0 : weight_of(&job, labels[n]);
    if (!(job.counted > 0)) job.counted = 1;
    job.share = 1 / job.counted;
    return loss_run(&job, 16, weight || smoothing != 0 ? soft_label_task : softmax_task, loss);
}

static fn_status soft_label_loss(int64_t N, int64_t C, const void *scores, const void *targets, const void *weight,
                                 double smoothing, double *loss, void *dscores) {
    loss_job job = {.N = N,
                    .C = C,
                    .scores = scores,
                    .targets = targets,
                    .weight = weight,
                    .smoothing = smoothing,
                    .counted = (double)N,
                    .share = 1 / (double)N,
                    .dscores = dscores};
    return loss_run(&job, 16, soft_label_task, loss);
}

/* loss = w_label * sum over j != label of v_j, or of v_j^2, v_j = max(0, s_j - s_label + margin) */
static void svm_task(void *context, int64_t task, int thread) {
    const loss_job *job = context;
    int64_t first = task * job->rows_per_task, last = min64(first + job->rows_per_task, job->N), C = job->C;
    (void)thread;
    for (int64_t n = first; n < last; n++) {
        const REAL *restrict s = job->scores + n * C;
        REAL *restrict d = job->dscores + n * C;
        int64_t label = job->labels[n];
        if (label == job->ignored) {
            memset(d, 0, (size_t)C * sizeof(REAL));
            job->losses[n] = 0;
            continue;
        }
        double part[8] = {0}, slopes[8] = {0}, correct = (double)s[label], weight = weight_of(job, label);
        for (int64_t from = 0; from < C; from += 8)
            for (int i = 0; i < (int)min64(8, C - from); i++) {
                int64_t j = from + i;
                double value = ((double)s[j] - correct) + job->margin;
                double violation = j == label || value <= 0 ? 0 : value; /* NaN counts */
                double slope = job->squared ? 2 * violation : j != label && value > 0;
                part[i] = multiply_add_double(violation, job->squared ? violation : 1, part[i]);
                slopes[i] += slope;
                d[j] = (REAL)(slope * weight / job->counted);
            }
        d[label] = (REAL)(-sum_eight(slopes) * weight / job->counted);
        job->losses[n] = sum_eight(part) * weight;
    }
}

static fn_status svm_loss(int64_t N, int64_t C, const void *scores, const int64_t *labels, const void *weight,
                          int64_t ignored, double margin, int squared, double *loss, void *dscores) {
    loss_job job = {.N = N,
                    .C = C,
                    .scores = scores,
                    .labels = labels,
                    .weight = weight,
                    .ignored = ignored,
                    .squared = squared,
                    .margin = margin,
                    .dscores = dscores};
    job.counted = counted_labels(&job);
    return loss_run(&job, 4, svm_task, loss);
}

/* ---- losses of elements x and their targets t: means over n ---- */

enum { SQUARE, ABSOLUTE, HUBER, LOGISTIC, HINGE, LOSS_BLOCK = 4096, LOSS_PART = 512 };

typedef struct {
    int64_t kind, n;
    double a, *losses; /* losses: one a block */
    const REAL *x, *t;
    REAL *dx;
} target_job;

INLINE vec magnitude(vec x) { return (vec)((mask)x & ~(mask)broadcast((REAL)-0.0)); }

/* Return the loss of each lane, and its slope.
 * SQUARE: d^2, d = x - t.  ABSOLUTE: |d|.  HUBER: d^2/2 where |d| <= a, else a(|d| - a/2).
 * HINGE: max(0, a - yx), y = 1 where t > 0, else -1.
 * LOGISTIC: -t log p - (1 - t) log(1 - p), p = 1/(1 + e^-x), which is max(x, 0) - xt + log(1 + e^-|x|). */
INLINE vec target_loss_of(int64_t kind, vec a, vec x, vec t, vec *slope) {
    vec d = x - t, size = magnitude(d), half = broadcast((REAL)0.5);
    switch (kind) {
    case SQUARE: *slope = d + d; return d * d;
    case ABSOLUTE: *slope = blend(d > ZERO, broadcast(1), blend(d < ZERO, broadcast(-1), d)); return size;
    case HUBER:
        *slope = blend(d > a, a, blend(d < -a, -a, d));
        return blend(size > a, a * (size - half * a), half * d * d);
    case HINGE: {
        vec y = blend(t > ZERO, broadcast(1), broadcast(-1)), value = multiply_add(-y, x, a);
        *slope = blend(value > ZERO, -y, blend(value <= ZERO, ZERO, value)); /* NaN stays NaN */
        return rectify(value);
    }
    default: *slope = sigmoid_of(x) - t; return multiply_add(-x, t, rectify(x)) + log1p_of(exp_of(-magnitude(x)));
    }
}

static void target_task(void *context, int64_t task, int thread) {
    const target_job *job = context;
    int64_t first = task * LOSS_BLOCK, end = min64(first + LOSS_BLOCK, job->n);
    const vec a = broadcast((REAL)job->a), share = broadcast((REAL)(1 / (double)job->n));
    double total = 0;
    (void)thread;
    for (int64_t i = first; i < end; i += LOSS_PART) {
        REAL losses[LOSS_PART];
        int64_t count = min64(LOSS_PART, end - i);
        for (int64_t j = 0; j < count; j += LANES) {
            vec slope, x = load_part(job->x + i + j, count - j), t = load_part(job->t + i + j, count - j);
            store(losses + j, target_loss_of(job->kind, a, x, t, &slope));
            store_part(job->dx + i + j, slope * share, count - j);
        }
        total += sum_row(count, losses);
    }
    job->losses[task] = total;
}

static fn_status target_loss(int64_t kind, int64_t n, double a, const void *scores, const void *targets, double *loss,
                             void *dscores) {
    int64_t blocks = ceil_div(n, LOSS_BLOCK);
    target_job job = {kind, n, a, NULL, scores, targets, dscores};
    *loss = 0;
    if (n == 0) return FN_OK;
    job.losses = fn_alloc((size_t)blocks * sizeof(double), FN_SCRATCH);
    if (!job.losses) return FN_NO_MEMORY;
    fn_parallel(blocks, (double)n * (kind == LOGISTIC ? 60 : 8) / LANES, target_task, &job);
    for (int64_t i = 0; i < blocks; i++) *loss += job.losses[i];
    *loss /= (double)n;
    fn_free(job.losses);
    return FN_OK;
}
