/* Convolutions over images so small that most taps would read padding (3x3 on 2x2 pixels, say): each output pixel is a
 * separate matrix product over the taps inside the image. Its rows are the images of the batch, read in place.  Needs
 * conv/job.h.
 *
 * Each output is summed in the order of conv/gemm.h, without the zeros.
 */
/* The number of taps, over all outputs along one axis, that fall inside the image. */
INLINE int64_t inside_axis(int64_t outputs, int64_t first, int64_t step, int64_t tap, int64_t size, int64_t taps) {
    int64_t sum = 0, from, to;
    for (int64_t p = 0; p < outputs; p++, sum += to - from) taps_inside(first + p * step, tap, size, taps, &from, &to);
    return sum;
}

INLINE int is_small(const conv_problem *conv) {
    if (conv->P * conv->Q > SMALL_PIXELS || conv->R * conv->S <= 1) return 0;
    int64_t inside = inside_axis(conv->P, conv->first_h, conv->stride_h, conv->tap_h, conv->H, conv->R) *
                     inside_axis(conv->Q, conv->first_w, conv->stride_w, conv->tap_w, conv->W, conv->S);
    return SMALL_TAPS * inside <= SMALL_INSIDE * conv->P * conv->Q * conv->R * conv->S;
}

/* In inference, few images mean too few rows to amortise reading the weights (measured). */
static int small_fits(const conv_job *job) {
    int few = job->run.use == USED_IN_PLAN && job->conv.N < SMALL_LEAST_IMAGES;
    return is_small(&job->conv) && !job->pooled && !few;
}

/* One tile: images rows[], taps [i0, i1) x [j0, j1) of the kernel, with weights at b. */
INLINE void small_tile(const int height, const int width, const conv_job *job, const REAL *const *rows,
                       const int64_t *inside, const REAL *b, REAL *const *c, tile_store end) {
    const conv_problem *conv = &job->conv;
    vec acc[TILE_ROWS][2];
    UNROLL_FOR (int i = 0; i < height; i++) acc[i][0] = acc[i][1] = (vec){0};
    for (int64_t i = inside[0]; i < inside[1]; i++)
        for (int64_t j = inside[2]; j < inside[3]; j++) {
            int64_t offset = (i * conv->tap_h * conv->W + j * conv->tap_w) * job->at.in_pixel;
            row_product(height, width, acc, rows, (segments){1, conv->C, &offset},
                        b + (i * conv->S + j) * conv->C * PANEL);
        }
    tile_end(height, width, acc, c, end);
}

static __attribute__((noinline)) void small_tile_of(int height, const conv_job *job, const REAL *const *rows,
                                                    const int64_t *inside, const REAL *b, REAL *const *c,
                                                    tile_store end) {
#define SMALL_HEIGHT(height) \
    case height: small_tile(height, 2, job, rows, inside, b, c, end); break;
#define LOW_SMALL_HEIGHT(height) \
    case height: small_tile(height, 1, job, rows, inside, b, c, end); break;
    if (end.columns > LANES) switch (height) {
            HEIGHTS(SMALL_HEIGHT)
        }
    else switch (height) {
            HEIGHTS(LOW_SMALL_HEIGHT)
        }
}

/* A task: one panel, whose weights stay in the cache, one output pixel, and a range of images. */
static void small_task(void *context, int64_t task, int thread) {
    const conv_job *job = context;
    const conv_problem *conv = &job->conv;
    int64_t images = fn_speed.small_tiles * TILE_ROWS, chunks = ceil_div(conv->N, images);
    int64_t first = task % chunks * images;
    int64_t last = min64(first + images, conv->N);
    int64_t pixel = task / chunks % (conv->P * conv->Q), k = task / chunks / (conv->P * conv->Q) * PANEL;
    int64_t p = pixel / conv->Q, q = pixel % conv->Q, h = p * conv->stride_h + conv->first_h,
            w = q * conv->stride_w + conv->first_w;
    int64_t inside[4];
    (void)thread;
    taps_inside(h, conv->tap_h, conv->H, conv->R, inside, inside + 1);
    taps_inside(w, conv->tap_w, conv->W, conv->S, inside + 2, inside + 3);
    const REAL *b = job->run.prepared + k * conv->R * conv->S * conv->C;
    tile_store end = {&job->end, k, min64(PANEL, conv->K - k), LIVE};
    for (int64_t n = first; n < last; n += TILE_ROWS) {
        int live = (int)min64(TILE_ROWS, last - n);
        const REAL *rows[TILE_ROWS];
        REAL *c[TILE_ROWS];
        for (int i = 0; i < live; i++) {
            rows[i] = job->at.in + (((n + i) * conv->H + h) * conv->W + w) * job->at.in_pixel;
            c[i] = job->at.out + (n + i) * job->at.out_image + p * job->at.out_row + q * job->at.out_pixel;
        }
        small_tile_of(live, job, rows, inside, b, c, end);
    }
}

static void small_run(conv_job *job) {
    const conv_problem *conv = &job->conv;
    int64_t tasks = ceil_div(conv->N, fn_speed.small_tiles * TILE_ROWS) * conv->P * conv->Q * ceil_div(conv->K, PANEL);
    double work = (double)(conv->N * conv->P * conv->Q) * (double)(conv->K * conv->R * conv->S * conv->C) / LANES;
    fn_parallel_on(job->run.threads, tasks, work, small_task, job);
}

/* ---- the weight gradient: dw[k][c][tap] = sum over pixels p and images n of x[n][p's tap][c] * dy[n][p][k] ----
 * x is packed as [chunk][c / TILE_ROWS][pixel][n][TILE_ROWS], dy as [chunk][panel][pixel][n][lane], n within chunks of
 * SMALL_CHUNK images.  A task is a tile of TILE_ROWS input channels and a panel of filters, with all taps. */
typedef struct {
    const weight_gradient *of;
    int64_t images, blocks, panels; /* images: of a chunk */
    REAL *x_packed, *dy_packed, *scratch;
} small_weight_job;

static void small_pack_x(void *context, int64_t block, int thread) {
    const small_weight_job *job = context;
    const weight_gradient *of = job->of;
    const conv_problem *conv = &of->conv;
    int64_t c = block * TILE_ROWS, live = min64(TILE_ROWS, conv->C - c), pixels = conv->H * conv->W;
    (void)thread;
    for (int64_t n = 0; n < conv->N; n++)
        for (int64_t pixel = 0; pixel < pixels; pixel++) {
            int64_t chunk = n / job->images,
                    row = ((chunk * job->blocks + block) * pixels + pixel) * job->images + n % job->images;
            const REAL *from = of->x + (n * pixels + pixel) * of->x_pixel + c;
            REAL *to = job->x_packed + row * TILE_ROWS;
            for (int64_t i = 0; i < TILE_ROWS; i++) to[i] = i < live ? from[i] : 0;
        }
}

static void small_pack_dy(void *context, int64_t panel, int thread) {
    const small_weight_job *job = context;
    const weight_gradient *of = job->of;
    const conv_problem *conv = &of->conv;
    int64_t columns = min64(PANEL, conv->K - panel * PANEL), pixels = conv->P * conv->Q;
    (void)thread;
    for (int64_t n = 0; n < conv->N; n += job->images)
        for (int64_t pixel = 0; pixel < pixels; pixel++)
            pack_panel(min64(job->images, conv->N - n), columns,
                       of->dy + (n * pixels + pixel) * of->dy_pixel + panel * PANEL, pixels * of->dy_pixel, 1,
                       job->dy_packed +
                           ((n / job->images * job->panels + panel) * pixels + pixel) * job->images * PANEL);
}

static void small_weight_task(void *context, int64_t task, int thread) {
    const small_weight_job *job = context;
    const weight_gradient *of = job->of;
    const conv_problem *conv = &of->conv;
    int64_t panel = task % job->panels, block = task / job->panels, taps = conv->R * conv->S,
            columns = min64(PANEL, conv->K - panel * PANEL);
    REAL *sums = job->scratch + thread * taps * TILE_ROWS * PANEL, *rows[TILE_ROWS];
    memset(sums, 0, (size_t)(taps * TILE_ROWS * PANEL) * sizeof(REAL));
    epilogue add = {.add = sums, .out = sums};
    tile_store end = {&add, 0, columns, LIVE};
    const int64_t start = 0;
    for (int64_t n = 0; n < conv->N; n += job->images) {
        segments along = {1, min64(job->images, conv->N - n), &start};
        int64_t chunk = n / job->images;
        for (int64_t pixel = 0; pixel < conv->P * conv->Q; pixel++) {
            int64_t h = pixel / conv->Q * conv->stride_h + conv->first_h,
                    w = pixel % conv->Q * conv->stride_w + conv->first_w, r[2], s[2];
            taps_inside(h, conv->tap_h, conv->H, conv->R, r, r + 1);
            taps_inside(w, conv->tap_w, conv->W, conv->S, s, s + 1);
            const REAL *b =
                job->dy_packed + ((chunk * job->panels + panel) * conv->P * conv->Q + pixel) * job->images * PANEL;
            for (int64_t i = r[0]; i < r[1]; i++)
                for (int64_t j = s[0]; j < s[1]; j++) {
                    int64_t from = (h + i * conv->tap_h) * conv->W + w + j * conv->tap_w;
                    const REAL *x = job->x_packed + ((chunk * job->blocks + block) * conv->H * conv->W + from) *
                                                        job->images * TILE_ROWS;
                    for (int c = 0; c < TILE_ROWS; c++) rows[c] = sums + (c * taps + i * conv->S + j) * PANEL;
                    column_tile(TILE_ROWS, x, TILE_ROWS, along, b, rows, end);
                }
        }
    }
    int64_t c = block * TILE_ROWS, live = min64(TILE_ROWS, conv->C - c); /* sums[c][tap][k] -> dw[k][c][tap] */
    transpose(live * taps, columns, sums, PANEL, of->dw + (panel * PANEL * conv->C + c) * taps, conv->C * taps);
}

static fn_status small_weight_run(const weight_gradient *of) {
    const conv_problem *conv = &of->conv;
    small_weight_job job = {.of = of,
                            .images = min64(conv->N, SMALL_CHUNK),
                            .blocks = ceil_div(conv->C, TILE_ROWS),
                            .panels = ceil_div(conv->K, PANEL)};
    int64_t images = ceil_div(conv->N, job.images) * job.images, taps = conv->R * conv->S;
    int64_t cache_line = 64 / (int64_t)sizeof(REAL);
    int64_t x_size = ceil_div(images * conv->H * conv->W * job.blocks * TILE_ROWS, cache_line) * cache_line;
    int64_t dy_size = images * conv->P * conv->Q * job.panels * PANEL;
    int64_t scratch_size = of->threads * taps * TILE_ROWS * PANEL;
    job.x_packed = fn_alloc((size_t)(x_size + dy_size + scratch_size) * sizeof(REAL), FN_SCRATCH);
    if (!job.x_packed) return FN_NO_MEMORY;
    job.dy_packed = job.x_packed + x_size;
    job.scratch = job.dy_packed + dy_size;
    double work = (double)(conv->N * conv->P * conv->Q) * (double)(conv->K * taps * conv->C) / LANES;
    fn_parallel_on(of->threads, job.blocks, (double)x_size, small_pack_x, &job);
    fn_parallel_on(of->threads, job.panels, (double)dy_size, small_pack_dy, &job);
    fn_parallel_on(of->threads, job.blocks * job.panels, work, small_weight_task, &job);
    fn_free(job.x_packed);
    return FN_OK;
}
