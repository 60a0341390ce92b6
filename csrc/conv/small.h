/* Convolutions over images so small that most taps would meet padding (3x3 on 2x2 pixels, say): each output pixel of its
 * own is a matrix product over the taps that lie inside, whose rows are the images of the batch, read in place.
 *
 * The order of each output's sum is that of conv_gemm.h without the zeros.
 */
enum { SMALL_PIXELS = 16, SMALL_IMAGES = 8 * TILE_ROWS, SMALL_CHUNK = 256 };

/* Whether at most 3/5 of the taps of all output pixels lie inside: of the numbers of each axis, how many. */
INLINE int64_t inside_axis(int64_t outputs, int64_t first, int64_t step, int64_t tap, int64_t size, int64_t taps) {
    int64_t sum = 0, from, to;
    for (int64_t p = 0; p < outputs; p++, sum += to - from) taps_inside(first + p * step, tap, size, taps, &from, &to);
    return sum;
}

INLINE int is_small(const conv_job *job) {
    if (job->P * job->Q > SMALL_PIXELS || job->R * job->S <= 1) return 0;
    int64_t inside = inside_axis(job->P, job->first_h, job->step_h, job->tap_h, job->H, job->R) *
                     inside_axis(job->Q, job->first_w, job->step_w, job->tap_w, job->W, job->S);
    return 5 * inside <= 3 * job->P * job->Q * job->R * job->S;
}

/* One tile: images rows[], taps [i0, i1) x [j0, j1) of the kernel, whose weights lie at b. */
INLINE void small_tile(const int height, const int width, const conv_job *job, const REAL *const *rows,
                       const int64_t *inside, const REAL *b, REAL *const *c, ending end) {
    vec acc[TILE_ROWS][2];
    UNROLL_FOR (int i = 0; i < height; i++) acc[i][0] = acc[i][1] = (vec){0};
    for (int64_t i = inside[0]; i < inside[1]; i++)
        for (int64_t j = inside[2]; j < inside[3]; j++) {
            int64_t offset = (i * job->tap_h * job->W + j * job->tap_w) * job->in_pixel;
            row_product(height, width, acc, rows, (segments){1, job->C, &offset},
                        b + (i * job->S + j) * job->C * PANEL);
        }
    tile_end(height, width, acc, c, end);
}

static __attribute__((noinline)) void small_tile_of(int height, const conv_job *job, const REAL *const *rows,
                                                    const int64_t *inside, const REAL *b, REAL *const *c, ending end) {
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

/* A panel, whose weights stay in the cache meanwhile, an output pixel, some images. */
static void small_task(void *context, int64_t task, int thread) {
    const conv_job *job = context;
    int64_t chunks = ceil_div(job->N, SMALL_IMAGES), first = task % chunks * SMALL_IMAGES;
    int64_t last = min64(first + SMALL_IMAGES, job->N);
    int64_t pixel = task / chunks % (job->P * job->Q), panel = task / chunks / (job->P * job->Q) * PANEL;
    int64_t p = pixel / job->Q, q = pixel % job->Q, h = p * job->step_h + job->first_h,
            w = q * job->step_w + job->first_w;
    int64_t inside[4];
    (void)thread;
    taps_inside(h, job->tap_h, job->H, job->R, inside, inside + 1);
    taps_inside(w, job->tap_w, job->W, job->S, inside + 2, inside + 3);
    const REAL *b = job->prepared + panel * job->R * job->S * job->C;
    ending end = {&job->end, panel, min64(PANEL, job->K - panel)};
    for (int64_t n = first; n < last; n += TILE_ROWS) {
        int live = (int)min64(TILE_ROWS, last - n);
        const REAL *rows[TILE_ROWS];
        REAL *c[TILE_ROWS];
        for (int i = 0; i < live; i++) {
            rows[i] = job->in + (((n + i) * job->H + h) * job->W + w) * job->in_pixel;
            c[i] = job->out + (n + i) * job->out_image + p * job->out_row + q * job->out_pixel;
        }
        small_tile_of(live, job, rows, inside, b, c, end);
    }
}

static void small_execute(conv_job *job) {
    int64_t tasks = ceil_div(job->N, SMALL_IMAGES) * job->P * job->Q * ceil_div(job->K, PANEL);
    fn_parallel(tasks, (double)(job->N * job->P * job->Q) * (double)(job->K * job->R * job->S * job->C) / LANES,
                small_task, job);
}

/* ---- the weight gradient: dw[k][c][tap] = sum over pixels p and images n of x[n][p's tap][c] * dy[n][p][k] ----
 * x is packed as [chunk][c / TILE_ROWS][pixel][n][TILE_ROWS], dy as [chunk][panel][pixel][n][lane], n within chunks of
 * SMALL_CHUNK images.  A task is a tile of TILE_ROWS input channels and a panel of filters, with all taps. */
typedef struct {
    const conv_job *in;
    const REAL *dy;
    int64_t dy_pixel, images, blocks, panels; /* images: of a chunk */
    REAL *x_packed, *dy_packed, *dw, *scratch;
} small_weight_job;

static void small_pack_x(void *context, int64_t block, int thread) {
    const small_weight_job *job = context;
    const conv_job *in = job->in;
    int64_t c = block * TILE_ROWS, live = min64(TILE_ROWS, in->C - c), pixels = in->H * in->W;
    (void)thread;
    for (int64_t n = 0; n < in->N; n++)
        for (int64_t pixel = 0; pixel < pixels; pixel++) {
            int64_t chunk = n / job->images,
                    row = ((chunk * job->blocks + block) * pixels + pixel) * job->images + n % job->images;
            const REAL *from = in->in + (n * pixels + pixel) * in->in_pixel + c;
            REAL *to = job->x_packed + row * TILE_ROWS;
            for (int64_t i = 0; i < TILE_ROWS; i++) to[i] = i < live ? from[i] : 0;
        }
}

static void small_pack_dy(void *context, int64_t panel, int thread) {
    const small_weight_job *job = context;
    const conv_job *in = job->in;
    int64_t columns = min64(PANEL, in->K - panel * PANEL), pixels = in->P * in->Q;
    (void)thread;
    for (int64_t n = 0; n < in->N; n += job->images)
        for (int64_t pixel = 0; pixel < pixels; pixel++)
            pack_panel(min64(job->images, in->N - n), columns,
                       job->dy + (n * pixels + pixel) * job->dy_pixel + panel * PANEL, pixels * job->dy_pixel, 1,
                       job->dy_packed +
                           ((n / job->images * job->panels + panel) * pixels + pixel) * job->images * PANEL);
}

static void small_weight_task(void *context, int64_t task, int thread) {
    const small_weight_job *job = context;
    const conv_job *in = job->in;
    int64_t panel = task % job->panels, block = task / job->panels, taps = in->R * in->S,
            columns = min64(PANEL, in->K - panel * PANEL);
    REAL *sums = job->scratch + thread * taps * TILE_ROWS * PANEL, *rows[TILE_ROWS];
    memset(sums, 0, (size_t)(taps * TILE_ROWS * PANEL) * sizeof(REAL));
    epilogue add = {NULL, NULL, sums, sums, 0};
    ending end = {&add, 0, columns};
    const int64_t start = 0;
    for (int64_t n = 0; n < in->N; n += job->images) {
        segments along = {1, min64(job->images, in->N - n), &start};
        int64_t chunk = n / job->images;
        for (int64_t pixel = 0; pixel < in->P * in->Q; pixel++) {
            int64_t h = pixel / in->Q * in->step_h + in->first_h, w = pixel % in->Q * in->step_w + in->first_w, r[2],
                    s[2];
            taps_inside(h, in->tap_h, in->H, in->R, r, r + 1);
            taps_inside(w, in->tap_w, in->W, in->S, s, s + 1);
            const REAL *b =
                job->dy_packed + ((chunk * job->panels + panel) * in->P * in->Q + pixel) * job->images * PANEL;
            for (int64_t i = r[0]; i < r[1]; i++)
                for (int64_t j = s[0]; j < s[1]; j++) {
                    int64_t from = (h + i * in->tap_h) * in->W + w + j * in->tap_w;
                    const REAL *x = job->x_packed +
                                    ((chunk * job->blocks + block) * in->H * in->W + from) * job->images * TILE_ROWS;
                    for (int c = 0; c < TILE_ROWS; c++) rows[c] = sums + (c * taps + i * in->S + j) * PANEL;
                    column_tile(TILE_ROWS, x, TILE_ROWS, along, b, rows, end);
                }
        }
    }
    int64_t c = block * TILE_ROWS, live = min64(TILE_ROWS, in->C - c); /* sums[c][tap][k] -> dw[k][c][tap] */
    transpose(live * taps, columns, sums, PANEL, job->dw + (panel * PANEL * in->C + c) * taps, in->C * taps);
}

static fn_status small_weight_run(const conv_job *in) { /* the forward job; dy lies at its `out`, dw at its w */
    small_weight_job job = {.in = in,
                            .dy = in->out,
                            .dy_pixel = in->out_pixel,
                            .images = min64(in->N, SMALL_CHUNK),
                            .dw = (REAL *)in->w,
                            .blocks = ceil_div(in->C, TILE_ROWS),
                            .panels = ceil_div(in->K, PANEL)};
    int64_t images = ceil_div(in->N, job.images) * job.images, taps = in->R * in->S;
    int64_t x_size = images * in->H * in->W * job.blocks * TILE_ROWS,
            dy_size = images * in->P * in->Q * job.panels * PANEL;
    int64_t line = 64 / (int64_t)sizeof(REAL);
    x_size = ceil_div(x_size, line) * line;
    job.x_packed =
        fn_alloc((size_t)(x_size + dy_size + fn_threads() * taps * TILE_ROWS * PANEL) * sizeof(REAL), FN_SCRATCH);
    if (!job.x_packed) return FN_NO_MEMORY;
    job.dy_packed = job.x_packed + x_size, job.scratch = job.dy_packed + dy_size;
    fn_parallel(job.blocks, (double)x_size, small_pack_x, &job);
    fn_parallel(job.panels, (double)dy_size, small_pack_dy, &job);
    fn_parallel(job.blocks * job.panels, (double)(in->N * in->P * in->Q) * (double)(in->K * taps * in->C) / LANES,
                small_weight_task, &job);
    fn_free(job.x_packed);
    return FN_OK;
}
