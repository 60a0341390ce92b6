/* Convolution 3x3, stride 1, by Winograd F(4x4, 3x3): 36 products where the direct form needs 144.
 *
 * A task is a block of tiles, small enough for its V and M to stay in the cache:
 *   V[point][tile][C] = B^T d B of each tile's 6x6 inputs, vectorised over channels;
 *   M[point][tile][K] = V[point] U[point], 36 small matrix products on the packed, transformed weights;
 *   y = A^T M A (+ bias), straight into the output.
 * The input gradient is the same job on dy with turned weights.  Each output depends on its own tile only: the bits do
 * not depend on blocks, threads, or how a batch is split.
 */
typedef struct {
    const conv_job *job;
    tile_grid grid;
    int64_t block, panels, v_point, m_point; /* numbers from one point to the next in V and M */
    REAL *u, *zeros;
} winograd_job;

/* U[point][panel][c][lane] = G g G^T of the filters of one panel. */
static void winograd_filters(void *context, int64_t panel, int thread) {
    const winograd_job *w = context;
    const conv_job *job = w->job;
    int flipped = job->w_tap_w < 0;
    int64_t stride = w->panels * job->C * PANEL;
    (void)thread;
    for (int64_t c = 0; c < job->C; c++)
        for (int64_t k = panel * PANEL; k < (panel + 1) * PANEL; k += LANES) {
            REAL taps[9 * LANES] = {0};
            const REAL *g = job->w + c * job->w_in + k * job->w_out - (flipped ? 8 : 0);
            int64_t lanes = max64(0, min64(LANES, job->K - k));
            transpose(lanes, 9, g, job->w_out, taps, LANES);
            vec t[9], half[3][TILE_IN], out[TILE_IN];
            UNROLL for (int i = 0; i < 9; i++) t[i] = load(taps + (flipped ? 8 - i : i) * LANES);
            UNROLL for (int i = 0; i < 3; i++) transform_filter3(t[3 * i], t[3 * i + 1], t[3 * i + 2], half[i]);
            REAL *u = w->u + (panel * job->C + c) * PANEL + k % PANEL;
            UNROLL for (int j = 0; j < TILE_IN; j++) {
                transform_filter3(half[0][j], half[1][j], half[2][j], out);
                UNROLL for (int i = 0; i < TILE_IN; i++) store(u + (i * TILE_IN + j) * stride, out[i]);
            }
        }
}

INLINE void output_tile(REAL *const *outs, const REAL *m, int64_t stride, const REAL *bias, int64_t k, int64_t lanes) {
    vec t[TILE_IN][4], y[4], shift = bias ? load_part(bias + k, lanes) : (vec){0};
    UNROLL for (int i = 0; i < TILE_IN; i++) {
        vec row[TILE_IN];
        UNROLL for (int j = 0; j < TILE_IN; j++) row[j] = load_part(m + (i * TILE_IN + j) * stride + k, lanes);
        transform_output4(row, t[i]);
    }
    UNROLL for (int j = 0; j < 4; j++) {
        vec column[TILE_IN];
        UNROLL for (int i = 0; i < TILE_IN; i++) column[i] = t[i][j];
        transform_output4(column, y);
        UNROLL for (int i = 0; i < 4; i++)
            if (outs[i * 4 + j]) store_part(outs[i * 4 + j] + k, y[i] + shift, lanes);
    }
}

static void winograd_block(void *context, int64_t task, int thread) {
    const winograd_job *w = context;
    const conv_job *job = w->job;
    int64_t first = task * w->block, count = min64(w->block, w->grid.count - first), C = job->C, K = job->K;
    REAL *v = (REAL *)(job->scratch + thread * job->scratch_bytes), *m = v + POINTS * w->v_point;
    for (int64_t t = 0; t < count; t++) {
        const REAL *pixels[POINTS];
        int64_t tile = first + t, column = tile % w->grid.across, row = tile / w->grid.across % w->grid.down;
        int64_t image = tile / w->grid.across / w->grid.down;
        patch(TILE_IN, job->in + image * job->H * job->W * job->in_pixel, job->H, job->W, job->in_pixel,
              4 * row + job->first_h, 4 * column + job->first_w, w->zeros, pixels);
        int64_t c = 0;
        for (; c + LANES <= C; c += LANES) input_tile(pixels, c, LANES, v + t * C + c, w->v_point);
        if (c < C) input_tile(pixels, c, C - c, v + t * C + c, w->v_point);
    }
    const int64_t start = 0;
    segments along = {1, C, &start};
    for (int64_t point = 0; point < POINTS; point++)
        for (int64_t panel = 0; panel < w->panels; panel++) {
            ending end = {NULL, 0, min64(PANEL, K - panel * PANEL)};
            const REAL *u = w->u + (point * w->panels + panel) * C * PANEL;
            for (int64_t t = 0; t < count; t += TILE_ROWS) {
                int live = (int)min64(TILE_ROWS, count - t);
                const REAL *rows[TILE_ROWS];
                REAL *outs[TILE_ROWS];
                for (int i = 0; i < TILE_ROWS; i++) {
                    int64_t tile = t + min64(i, live - 1);
                    rows[i] = v + point * w->v_point + tile * C;
                    outs[i] = m + point * w->m_point + tile * K + panel * PANEL;
                }
                row_tile(live, rows, along, u, outs, end);
            }
        }
    for (int64_t t = 0; t < count; t++) {
        REAL *outs[16];
        int64_t tile = first + t, column = tile % w->grid.across * 4, row = tile / w->grid.across % w->grid.down * 4;
        REAL *out = job->out + tile / w->grid.across / w->grid.down * job->out_image;
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 4; j++)
                outs[i * 4 + j] = row + i < job->P && column + j < job->Q
                                      ? out + (row + i) * job->out_row + (column + j) * job->out_pixel
                                      : NULL;
        int64_t k = 0;
        for (; k + LANES <= K; k += LANES) output_tile(outs, m + t * K, w->m_point, job->bias, k, LANES);
        if (k < K) output_tile(outs, m + t * K, w->m_point, job->bias, k, K - k);
    }
}

/* 3x3 at stride 1 whose taps lie side by side in memory, forwards or backwards (a phase of a strided gradient may meet
 * every other tap of a larger kernel). */
INLINE int is_winograd(const conv_job *job) {
    int fits = job->R == 3 && job->S == 3 && job->step_h == 1 && job->step_w == 1 && job->tap_h == 1 && job->tap_w == 1 &&
               (job->w_tap_w == 1 || job->w_tap_w == -1) && job->w_tap_h == 3 * job->w_tap_w;
    return fits && choose_winograd(job->C, job->K, job->P, job->Q);
}

/* Blocks, and where V, M and U lie; U is followed by C zeros. */
INLINE winograd_job winograd_blocks(const conv_job *job) {
    winograd_job w = {.job = job, .grid = grid_of(job->N, job->P, job->Q), .panels = ceil_div(job->K, PANEL)};
    int64_t tile_bytes = POINTS * (job->C + job->K) * (int64_t)sizeof(REAL), tiles = WINOGRAD_BLOCK_BYTES / tile_bytes;
    tiles = min64(96, max64(48, tiles / 24 * 24));
    w.block = max64(1, min64(tiles, ceil_div(w.grid.count, 2 * fn_threads())));
    if (w.block > TILE_ROWS) w.block = ceil_div(w.block, TILE_ROWS) * TILE_ROWS;
    w.v_point = odd_lines(w.block * job->C), w.m_point = odd_lines(w.block * job->K);
    w.u = job->prepared, w.zeros = w.u + POINTS * w.panels * job->C * PANEL;
    return w;
}

static void winograd_measure(conv_job *job) {
    winograd_job w = winograd_blocks(job);
    job->prepared_bytes = (POINTS * w.panels * PANEL + 1) * job->C * (int64_t)sizeof(REAL);
    job->scratch_bytes = POINTS * (w.v_point + w.m_point) * (int64_t)sizeof(REAL);
    job->shared_bytes = 0;
}

static void winograd_prepare(conv_job *job) {
    winograd_job w = winograd_blocks(job);
    memset(w.zeros, 0, (size_t)job->C * sizeof(REAL));
    fn_parallel(w.panels, (double)(w.panels * job->C) * 200, winograd_filters, &w);
}

static void winograd_execute(conv_job *job) {
    winograd_job w = winograd_blocks(job);
    fn_parallel(ceil_div(w.grid.count, w.block),
                (double)w.grid.count * POINTS * (double)job->C * (double)job->K / LANES, winograd_block, &w);
}
