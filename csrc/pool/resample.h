/* Separable linear maps of images: padding, interpolation, adaptive average pooling, and their gradients, whose maps
 * are transposed.  y[p][q] = sum of weight_i * weight_j * x[row_i][column_j] over the taps i of row p and j of column
 * q, or `outside` if there are none. */
typedef struct {
    int64_t size, outputs, taps;
    const int64_t *starts, *inputs;
    const double *weights;
} resample_axis;

typedef struct {
    int64_t C;
    resample_axis rows, columns;
    const REAL *x;
    REAL outside, *y;
} resample_job;

static resample_axis axis_of(const fn_axis *axis) {
    const int64_t *starts = (const int64_t *)(axis + 1), *inputs = starts + axis->outputs + 1;
    return (resample_axis){axis->inputs, axis->outputs, axis->taps,
                           starts,       inputs,        (const double *)(inputs + axis->taps)};
}

/* `vectors` vectors of channels from c on. */
INLINE void resample_channels(const resample_job *job, const REAL *image, int64_t p, int64_t q, int64_t c,
                              const int vectors, REAL *y) {
    const resample_axis *rows = &job->rows, *columns = &job->columns;
    vec sum[4];
    int first = 1;
    UNROLL_FOR (int v = 0; v < vectors; v++) sum[v] = broadcast(job->outside);
    for (int64_t i = rows->starts[p]; i < rows->starts[p + 1]; i++)
        for (int64_t j = columns->starts[q]; j < columns->starts[q + 1]; j++) {
            const REAL *x = image + (rows->inputs[i] * columns->size + columns->inputs[j]) * job->C + c;
            const vec weight = broadcast((REAL)(rows->weights[i] * columns->weights[j]));
            UNROLL_FOR (int v = 0; v < vectors; v++) {
                vec value = vectors > 1 ? load(x + v * LANES) : load_part(x, job->C - c);
                sum[v] = first ? value * weight : multiply_add(value, weight, sum[v]); /* -0 stays -0 */
            }
            first = 0;
        }
    UNROLL_FOR (int v = 0; v < vectors; v++)
        if (vectors > 1) store(y + c + v * LANES, sum[v]);
        else store_part(y + c, sum[v], job->C - c);
}

static void resample_row(void *context, int64_t task, int thread) {
    const resample_job *job = context;
    int64_t n = task / job->rows.outputs, p = task % job->rows.outputs, C = job->C;
    const REAL *image = job->x + n * job->rows.size * job->columns.size * C;
    (void)thread;
    for (int64_t q = 0; q < job->columns.outputs; q++) {
        REAL *y = job->y + (task * job->columns.outputs + q) * C;
        int64_t c = 0;
        for (; c + 4 * LANES <= C; c += 4 * LANES) resample_channels(job, image, p, q, c, 4, y);
        for (; c < C; c += LANES) resample_channels(job, image, p, q, c, 1, y);
    }
}

static void resample(int64_t N, int64_t C, const fn_axis *rows, const fn_axis *columns, double outside, const void *x,
                     void *y) {
    resample_job job = {C, axis_of(rows), axis_of(columns), x, (REAL)outside, y};
    double taps = (double)rows->taps * (double)columns->taps,
           outputs = (double)rows->outputs * (double)columns->outputs;
    fn_parallel(N * rows->outputs, (double)N * (double)C * (taps + outputs) / LANES, resample_row, &job);
}

/* y[n][c][h*r + i][w*r + j] = x[n][(c*r + i)*r + j][h][w]; or x from y, with `inverse` */

typedef struct {
    int64_t C, H, W, r;
    int inverse;
    const REAL *from;
    REAL *to;
} shuffle_job;

static void shuffle_row(void *context, int64_t task, int thread) {
    const shuffle_job *job = context;
    int64_t C = job->C, W = job->W, r = job->r;
    (void)thread;
    for (int64_t w = 0; w < W; w++)
        for (int64_t i = 0; i < r; i++)
            for (int64_t j = 0; j < r; j++) {
                int64_t coarse = (task * W + w) * C * r * r + i * r + j,
                        fine = ((task * r + i) * W * r + w * r + j) * C;
                if (job->inverse)
                    for (int64_t c = 0; c < C; c++) job->to[coarse + c * r * r] = job->from[fine + c];
                else
                    for (int64_t c = 0; c < C; c++) job->to[fine + c] = job->from[coarse + c * r * r];
            }
}

static void shuffle_pixels(int64_t N, int64_t C, int64_t H, int64_t W, int64_t r, int inverse, const void *x, void *y) {
    shuffle_job job = {C, H, W, r, inverse, x, y};
    fn_parallel(N * H, (double)(N * H) * (double)(W * C) * (double)(r * r), shuffle_row, &job);
}
