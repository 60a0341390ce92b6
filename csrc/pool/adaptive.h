/* Max pooling with windows of several sizes.  A window's rows and columns are the taps of two axes, whose weights are
 * not read; the gradient has the transposed axes.  index: h*W + w of each maximum.  Needs pool/resample.h. */
typedef struct {
    int64_t C;
    resample_axis rows, columns;
    const REAL *in;
    REAL *out;
    const void *index;
    void *index_out; /* or NULL */
} adaptive_job;

static void adaptive_run(int64_t N, adaptive_job *job, fn_task body) {
    double taps = (double)job->rows.taps * (double)job->columns.taps,
           outputs = (double)job->rows.outputs * (double)job->columns.outputs;
    fn_parallel(N * job->rows.outputs, (double)N * (double)job->C * (taps + outputs) / LANES, body, job);
}

static void adaptive_max_row(void *context, int64_t task, int thread) {
    const adaptive_job *job = context;
    const resample_axis *rows = &job->rows, *columns = &job->columns;
    int64_t p = task % rows->outputs, C = job->C;
    const REAL *image = job->in + task / rows->outputs * rows->size * columns->size * C;
    (void)thread;
    for (int64_t q = 0; q < columns->outputs; q++) {
        int64_t y = (task * columns->outputs + q) * C;
        int64_t corner = rows->inputs[rows->starts[p]] * columns->size + columns->inputs[columns->starts[q]];
        for (int64_t c = 0; c < C; c += LANES) {
            vec best = load_part(image + corner * C + c, C - c);
            mask which = broadcast_whole(corner);
            for (int64_t i = rows->starts[p]; i < rows->starts[p + 1]; i++)
                for (int64_t j = columns->starts[q]; j < columns->starts[q + 1]; j++) {
                    int64_t pixel = rows->inputs[i] * columns->size + columns->inputs[j];
                    vec value = load_part(image + pixel * C + c, C - c);
                    mask better = ~(value <= best) & (best == best); /* the first NaN, else the first of equals */
                    best = blend(better, value, best);
                    which = (better & broadcast_whole(pixel)) | (~better & which);
                }
            store_part(job->out + y + c, best, C - c);
            if (job->index_out) store_index(MAX_WORDS, job->index_out, y + c, which, C - c);
        }
    }
}

static void adaptive_max_gradient_row(void *context, int64_t task, int thread) {
    const adaptive_job *job = context;
    const resample_axis *rows = &job->rows, *columns = &job->columns; /* from windows to pixels */
    int64_t h = task % rows->outputs, first = task / rows->outputs * rows->size, C = job->C;
    (void)thread;
    for (int64_t w = 0; w < columns->outputs; w++) {
        REAL *dx = job->out + (task * columns->outputs + w) * C;
        const mask pixel = broadcast_whole(h * columns->outputs + w);
        for (int64_t c = 0; c < C; c += LANES) {
            vec sum = {0};
            for (int64_t i = rows->starts[h]; i < rows->starts[h + 1]; i++)
                for (int64_t j = columns->starts[w]; j < columns->starts[w + 1]; j++) {
                    int64_t at = ((first + rows->inputs[i]) * columns->size + columns->inputs[j]) * C + c;
                    vec dy = load_part(job->in + at, C - c);
                    sum += blend(load_index(MAX_WORDS, job->index, at, C - c) == pixel, dy, (vec){0});
                }
            store_part(dx + c, sum, C - c);
        }
    }
}

static void adaptive_max(int64_t N, int64_t C, const fn_axis *rows, const fn_axis *columns, const void *x, void *y,
                         void *index) {
    adaptive_job job = {.C = C, .rows = axis_of(rows), .columns = axis_of(columns), .in = x, .out = y};
    job.index_out = index;
    adaptive_run(N, &job, adaptive_max_row);
}

static void adaptive_max_backward(int64_t N, int64_t C, const fn_axis *rows, const fn_axis *columns, const void *dy,
                                  const void *index, void *dx) {
    adaptive_job job = {.C = C, .rows = axis_of(rows), .columns = axis_of(columns), .in = dy, .out = dx};
    job.index = index;
    adaptive_run(N, &job, adaptive_max_gradient_row);
}
