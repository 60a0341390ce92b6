/* Conversion between channels-first (N, C, pixels) and channels-last (N, pixels, C), in blocks of 8 channels x 16
 * pixels; concatenating and splitting rows; and im2col and col2im, which process channels in sequence. */
typedef struct {
    int64_t C, pixels, span, spans; /* spans: runs of pixels of an image, one task each */
    const REAL *from;
    REAL *to;
} layout_job;

enum { TILE_CHANNELS = 8, TILE_PIXELS = 16, COPY_TASK = 16384 };

/* Transpose 4 x 4 elements in two rounds of interleaving. */
typedef REAL quad __attribute__((vector_size(4 * sizeof(REAL))));
#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
typedef whole whole_quad __attribute__((vector_size(4 * sizeof(REAL))));
#define SHUFFLE(a, b, i, j, k, l) __builtin_shuffle(a, b, (whole_quad){i, j, k, l})
#endif

INLINE void transpose_quad(const REAL *from, int64_t from_step, REAL *to, int64_t to_step) {
    quad row[4], pair[4];
    for (int i = 0; i < 4; i++) memcpy(row + i, from + i * from_step, sizeof(quad));
    pair[0] = SHUFFLE(row[0], row[1], 0, 4, 1, 5), pair[1] = SHUFFLE(row[0], row[1], 2, 6, 3, 7);
    pair[2] = SHUFFLE(row[2], row[3], 0, 4, 1, 5), pair[3] = SHUFFLE(row[2], row[3], 2, 6, 3, 7);
    row[0] = SHUFFLE(pair[0], pair[2], 0, 1, 4, 5), row[1] = SHUFFLE(pair[0], pair[2], 2, 3, 6, 7);
    row[2] = SHUFFLE(pair[1], pair[3], 0, 1, 4, 5), row[3] = SHUFFLE(pair[1], pair[3], 2, 3, 6, 7);
    for (int i = 0; i < 4; i++) memcpy(to + i * to_step, row + i, sizeof(quad));
}

/* from and to: the block's corner; plane: channel stride of the channels-first array; pixel: pixel stride of the other.
 */
INLINE void layout_block(int to_last, int64_t channels, int64_t pixels, const REAL *restrict from, REAL *restrict to,
                         int64_t plane, int64_t pixel) {
    if (to_last)
        for (int64_t p = 0; p < pixels; p++)
            for (int64_t c = 0; c < channels; c++) to[p * pixel + c] = from[c * plane + p];
    else
        for (int64_t c = 0; c < channels; c++)
            for (int64_t p = 0; p < pixels; p++) to[c * plane + p] = from[p * pixel + c];
}

INLINE void transpose_image(int to_last, int64_t channels, int64_t pixels, const REAL *from, REAL *to, int64_t plane,
                            int64_t pixel) {
    if (channels == 3 && pixel == 3) { /* a constant stride lets the compiler interleave three vectors */
        layout_block(to_last, 3, pixels, from, to, plane, 3);
        return;
    }
    for (int64_t c = 0; c < channels; c += TILE_CHANNELS)
        for (int64_t p = 0; p < pixels; p += TILE_PIXELS) {
            int64_t live = min64(TILE_CHANNELS, channels - c), run = min64(TILE_PIXELS, pixels - p);
            int64_t first = c * plane + p, last = p * pixel + c;
            const REAL *f = from + (to_last ? first : last);
            REAL *t = to + (to_last ? last : first);
            if (live < TILE_CHANNELS || run < TILE_PIXELS) layout_block(to_last, live, run, f, t, plane, pixel);
            else
                for (int64_t i = 0; i < TILE_CHANNELS; i += 4)
                    for (int64_t j = 0; j < TILE_PIXELS; j += 4)
                        if (to_last) transpose_quad(f + i * plane + j, plane, t + j * pixel + i, pixel);
                        else transpose_quad(f + j * pixel + i, pixel, t + i * plane + j, plane);
        }
}

INLINE void transpose_span(const layout_job *job, int64_t task, int to_last) {
    int64_t n = task / job->spans, p = task % job->spans * job->span, image = n * job->C * job->pixels;
    int64_t first = image + p, last = image + p * job->C, pixels = min64(job->span, job->pixels - p);
    transpose_image(to_last, job->C, pixels, job->from + (to_last ? first : last), job->to + (to_last ? last : first),
                    job->pixels, job->C);
}

static void channels_last_task(void *context, int64_t task, int thread) {
    (void)thread;
    transpose_span(context, task, 1);
}

static void channels_first_task(void *context, int64_t task, int thread) {
    (void)thread;
    transpose_span(context, task, 0);
}

/* ---- rows of `width` elements from one stride to another ---- */

typedef struct {
    int64_t rows, width, from_stride, to_stride, rows_per_task;
    const REAL *from;
    REAL *to;
} rows_job;

static void rows_task(void *context, int64_t task, int thread) {
    const rows_job *job = context;
    int64_t first = task * job->rows_per_task, last = min64(first + job->rows_per_task, job->rows);
    (void)thread;
    for (int64_t i = first; i < last; i++)
        memcpy(job->to + i * job->to_stride, job->from + i * job->from_stride, (size_t)job->width * sizeof(REAL));
}

static void copy_rows(int64_t rows, int64_t width, const void *src, int64_t src_first, int64_t src_stride, void *dst,
                      int64_t dst_first, int64_t dst_stride) {
    rows_job job = {rows,
                    width,
                    src_stride,
                    dst_stride,
                    max64(1, COPY_TASK / max64(1, width)),
                    (const REAL *)src + src_first,
                    (REAL *)dst + dst_first};
    if (width > 0)
        fn_parallel(ceil_div(rows, job.rows_per_task), (double)rows * (double)width / LANES, rows_task, &job);
}

/* ---- every stride-th pixel, with zero channels on both sides ---- */

typedef struct {
    int64_t C, H, W, P, Q, stride, channels;
    const REAL *x;
    REAL *y;
} subsample_job;

static void subsample_row(void *context, int64_t row, int thread) {
    const subsample_job *job = context;
    int64_t before = (job->channels - job->C) / 2, after = job->channels - job->C - before;
    const REAL *x = job->x + (row / job->P * job->H + row % job->P * job->stride) * job->W * job->C;
    REAL *y = job->y + row * job->Q * job->channels;
    (void)thread;
    for (int64_t q = 0; q < job->Q; q++, x += job->stride * job->C, y += job->channels) {
        memset(y, 0, (size_t)before * sizeof(REAL));
        memcpy(y + before, x, (size_t)job->C * sizeof(REAL));
        memset(y + before + job->C, 0, (size_t)after * sizeof(REAL));
    }
}

static void subsample(int64_t N, int64_t C, int64_t H, int64_t W, int64_t stride, int64_t channels, const void *x,
                      void *y) {
    subsample_job job = {C, H, W, ceil_div(H, stride), ceil_div(W, stride), stride, channels, x, y};
    fn_parallel(N * job.P, (double)(N * job.P) * (double)job.Q * (double)channels / LANES, subsample_row, &job);
}

/* dx: zero but for the pixels that were taken */
static void subsample_backward_row(void *context, int64_t row, int thread) {
    const subsample_job *job = context;
    int64_t before = (job->channels - job->C) / 2, n = row / job->H, h = row % job->H;
    const REAL *dy = job->x + ((n * job->P + h / job->stride) * job->Q) * job->channels + before;
    REAL *dx = job->y + row * job->W * job->C;
    (void)thread;
    memset(dx, 0, (size_t)(job->W * job->C) * sizeof(REAL));
    if (h % job->stride) return;
    for (int64_t q = 0; q < job->Q; q++, dx += job->stride * job->C, dy += job->channels)
        memcpy(dx, dy, (size_t)job->C * sizeof(REAL));
}

static void subsample_backward(int64_t N, int64_t C, int64_t H, int64_t W, int64_t stride, int64_t channels,
                               const void *dy, void *dx) {
    subsample_job job = {C, H, W, ceil_div(H, stride), ceil_div(W, stride), stride, channels, dy, dx};
    fn_parallel(N * H, (double)(N * H) * (double)W * (double)C / LANES, subsample_backward_row, &job);
}

/* ---- constants, and doubles in the table's dtype ---- */

static void fill(int64_t n, double value, void *y) {
    for (int64_t i = 0; i < n; i++) ((REAL *)y)[i] = (REAL)value;
}

static void round_doubles(int64_t n, const double *x, void *y) {
    for (int64_t i = 0; i < n; i++) ((REAL *)y)[i] = (REAL)x[i];
}

static void transpose_run(int64_t N, int64_t C, int64_t pixels, const void *x, void *y, fn_task body) {
    if (C == 1 || pixels == 1) {
        int64_t size = N * C * pixels, width = max64(1, min64(size, COPY_TASK)), rows = size / width;
        copy_rows(rows, width, x, 0, width, y, 0, width);
        copy_rows(1, size - rows * width, x, rows * width, 0, y, rows * width, 0);
        return;
    }
    layout_job job = {.C = C, .pixels = pixels, .from = x, .to = y};
    job.span = ceil_div(max64(1, COPY_TASK / max64(1, C)), TILE_PIXELS) * TILE_PIXELS;
    job.spans = ceil_div(pixels, job.span);
    if (C > 0) fn_parallel(N * job.spans, 8 * (double)N * (double)C * (double)pixels / LANES, body, &job);
}

static void to_channels_last(int64_t N, int64_t C, int64_t pixels, const void *x, void *y) {
    transpose_run(N, C, pixels, x, y, channels_last_task);
}

static void to_channels_first(int64_t N, int64_t C, int64_t pixels, const void *x, void *y) {
    transpose_run(N, C, pixels, x, y, channels_first_task);
}

/* ---- columns[n][c][r][s][p][q] = x[n][p*stride + r*dilation - pad][...][c], 0 outside; col2im is its adjoint ---- */

typedef struct {
    const fn_conv *g;
    const REAL *from;
    REAL *to, *planes; /* planes: per thread, a few channels of an image, channels-first */
    int64_t channels, groups;
} columns_job;

INLINE void columns_of_plane(const fn_conv *g, int back, REAL *restrict plane, REAL *restrict to,
                             const REAL *restrict from) {
    for (int64_t r = 0; r < g->R; r++)
        for (int64_t s = 0; s < g->S; s++) {
            int64_t p0, p1, q0, q1, left = s * g->dilation_w - g->pad_left;
            taps_inside(r * g->dilation_h - g->pad_top, g->stride_h, g->H, g->P, &p0, &p1);
            taps_inside(left, g->stride_w, g->W, g->Q, &q0, &q1);
            for (int64_t p = 0; p < g->P; p++) {
                int64_t h = p * g->stride_h + r * g->dilation_h - g->pad_top, at = ((r * g->S + s) * g->P + p) * g->Q;
                int inside = p >= p0 && p < p1 && q0 < q1;
                int64_t row = h * g->W + left;
                if (back) {
                    for (int64_t q = q0; q < q1 && inside; q++) plane[row + q * g->stride_w] += from[at + q];
                } else if (inside) {
                    for (int64_t q = 0; q < q0; q++) to[at + q] = 0;
                    for (int64_t q = q0; q < q1; q++) to[at + q] = plane[row + q * g->stride_w];
                    for (int64_t q = q1; q < g->Q; q++) to[at + q] = 0;
                } else memset(to + at, 0, (size_t)g->Q * sizeof(REAL));
            }
        }
}

INLINE void columns_of_image(const columns_job *job, int64_t task, int thread, int back) {
    const fn_conv *g = job->g;
    int64_t n = task / job->groups, c = task % job->groups * job->channels, pixels = g->H * g->W;
    int64_t channels = min64(job->channels, g->C - c), size = g->R * g->S * g->P * g->Q, column = (n * g->C + c) * size;
    REAL *planes = job->planes + thread * job->channels * pixels;
    if (back) memset(planes, 0, (size_t)(channels * pixels) * sizeof(REAL));
    else transpose_image(0, channels, pixels, job->from + n * pixels * g->C + c, planes, pixels, g->C);
    for (int64_t i = 0; i < channels; i++)
        if (back) columns_of_plane(g, 1, planes + i * pixels, NULL, job->from + column + i * size);
        else columns_of_plane(g, 0, planes + i * pixels, job->to + column + i * size, NULL);
    if (back) transpose_image(1, channels, pixels, planes, job->to + n * pixels * g->C + c, pixels, g->C);
}

static void im2col_task(void *context, int64_t task, int thread) { columns_of_image(context, task, thread, 0); }
static void col2im_task(void *context, int64_t task, int thread) { columns_of_image(context, task, thread, 1); }

static fn_status columns_run(const fn_conv *g, const void *from, void *to, fn_task body) {
    columns_job job = {.g = g, .from = from, .to = to, .channels = g->C < 2 * TILE_CHANNELS ? 1 : TILE_CHANNELS};
    job.groups = ceil_div(g->C, job.channels);
    int threads = fn_threads();
    job.planes = fn_alloc((size_t)(threads * job.channels * g->H * g->W) * sizeof(REAL), FN_SCRATCH);
    if (!job.planes) return FN_NO_MEMORY;
    double numbers = (double)(g->N * g->C) * (double)(g->R * g->S) * (double)(g->P * g->Q);
    fn_parallel_on(threads, g->N * job.groups, 2 * numbers / LANES, body, &job);
    fn_free(job.planes);
    return FN_OK;
}

static fn_status im2col(const fn_conv *g, const void *x, void *columns) {
    return columns_run(g, x, columns, im2col_task);
}
static fn_status col2im(const fn_conv *g, const void *columns, void *x) {
    return columns_run(g, columns, x, col2im_task);
}
