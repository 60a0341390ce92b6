/* Losses over scores (N, C).  Rows are independent; sums over C are accumulated in eight interleaved parts, and the
 * rows' losses are added in order, all in double.  Needs softmax.h. */
typedef struct {
    int64_t N, C, rows_per_task;
    const REAL *scores;
    const int64_t *labels;
    double margin, *losses; /* losses: one a row */
    REAL *dscores;
} loss_job;

static fn_status loss_run(loss_job *job, double cost, fn_task body, double *loss) {
    *loss = 0;
    if (job->N == 0 || job->C == 0) return FN_OK;
    job->losses = fn_alloc((size_t)job->N * sizeof(double), FN_SCRATCH);
    if (!job->losses) return FN_NO_MEMORY;
    job->rows_per_task = max64(1, 4096 / job->C);
    fn_parallel(ceil_div(job->N, job->rows_per_task), (double)job->N * (double)job->C * cost / LANES, body, job);
    for (int64_t n = 0; n < job->N; n++) *loss += job->losses[n];
    *loss /= (double)job->N;
    fn_free(job->losses);
    return FN_OK;
}

/* loss = log(sum_j e_j) - (s_label - m), e_j = e^(s_j - m), m = max s;  dscores = (e / sum e - onehot) / N */
static void softmax_task(void *context, int64_t task, int thread) {
    const loss_job *job = context;
    int64_t first = task * job->rows_per_task, last = min64(first + job->rows_per_task, job->N), C = job->C;
    const double share = 1 / (double)job->N;
    (void)thread;
    for (int64_t n = first; n < last; n++) {
        const REAL *s = job->scores + n * C;
        REAL *d = job->dscores + n * C, largest = largest_of(C, s);
        int64_t label = job->labels[n];
        const double shifted_label = (double)(REAL)(s[label] - largest);
        double total = exp_row(C, s, largest, d);
        double scale = share / total, at_label = (double)d[label] / total - 1;
        for (int64_t j = 0; j < C; j++) d[j] = (REAL)((double)d[j] * scale);
        d[label] = (REAL)(at_label * share);
        job->losses[n] = log_of(total) - shifted_label;
    }
}

static fn_status softmax_loss(int64_t N, int64_t C, const void *scores, const int64_t *labels, double *loss,
                              void *dscores) {
    loss_job job = {.N = N, .C = C, .scores = scores, .labels = labels, .dscores = dscores};
    return loss_run(&job, 16, softmax_task, loss);
}

/* loss = sum over j != label of max(0, s_j - s_label + margin); dscores_j = (1 where that is positive) / N */
static void svm_task(void *context, int64_t task, int thread) {
    const loss_job *job = context;
    int64_t first = task * job->rows_per_task, last = min64(first + job->rows_per_task, job->N), C = job->C;
    const REAL share = (REAL)(1 / (double)job->N);
    (void)thread;
    for (int64_t n = first; n < last; n++) {
        const REAL *restrict s = job->scores + n * C;
        REAL *restrict d = job->dscores + n * C;
        double part[8] = {0}, correct = (double)s[job->labels[n]];
        int64_t label = job->labels[n], positive = 0;
        for (int64_t from = 0; from < C; from += 8)
            for (int i = 0; i < (int)min64(8, C - from); i++) {
                int64_t j = from + i;
                double value = ((double)s[j] - correct) + job->margin;
                int violated = j != label && value > 0;
                part[i] += j == label || value <= 0 ? 0 : value; /* NaN counts */
                positive += violated;
                d[j] = violated ? share : 0;
            }
        d[label] = (REAL)(-(double)positive / (double)job->N);
        job->losses[n] = sum_eight(part);
    }
}

static fn_status svm_loss(int64_t N, int64_t C, const void *scores, const int64_t *labels, double margin, double *loss,
                          void *dscores) {
    loss_job job = {.N = N, .C = C, .scores = scores, .labels = labels, .margin = margin, .dscores = dscores};
    return loss_run(&job, 4, svm_task, loss);
}
