/* The weight gradient of a 3x3, stride 1 convolution by Winograd F(3x3, 4x4): a tile's 4x4 of dy is the filter that runs
 * over its 6x6 of x.  The batch goes by in chunks of tiles; all threads share a chunk's
 *   V[point][tile][C] = B^T x B    and    D[point][panel][tile][lane] = G dy G^T,
 * and add their products over the chunk to Z[point][C][K]: each number of Z has one owner, and chunks come in order.
 * At the end dw = A^T Z A.
 */
typedef struct {
    const fn_conv *g;
    const REAL *x, *dy;
    REAL *dw, *v, *d, *z, *zeros;
    tile_grid grid;
    int64_t chunk, first, count, panels, columns;
    int64_t v_point, d_point, z_point; /* numbers from one point to the next */
} winograd_weight_job;

enum { TILES_A_TASK = 4 };

INLINE void gradient_tile(const REAL *const *pixels, int64_t k, int64_t lanes, REAL *d, int64_t stride) {
    vec t[4][TILE_IN], out[TILE_IN];
    UNROLL for (int i = 0; i < 4; i++) {
        const REAL *const *p = pixels + i * 4;
        transform_filter4(load_part(p[0] + k, lanes), load_part(p[1] + k, lanes), load_part(p[2] + k, lanes),
                          load_part(p[3] + k, lanes), t[i]);
    }
    UNROLL for (int j = 0; j < TILE_IN; j++) {
        transform_filter4(t[0][j], t[1][j], t[2][j], t[3][j], out);
        UNROLL for (int i = 0; i < TILE_IN; i++) store(d + (i * TILE_IN + j) * stride, out[i]);
    }
}

static void winograd_weight_tiles(void *context, int64_t task, int thread) {
    const winograd_weight_job *w = context;
    const fn_conv *g = w->g;
    (void)thread;
    for (int64_t t = task * TILES_A_TASK; t < min64((task + 1) * TILES_A_TASK, w->count); t++) {
        const REAL *pixels[POINTS];
        int64_t tile = w->first + t, column = tile % w->grid.across * 4, row = tile / w->grid.across % w->grid.down * 4;
        int64_t image = tile / w->grid.across / w->grid.down, c = 0, k = 0;
        patch(TILE_IN, w->x + image * g->H * g->W * g->C, g->H, g->W, g->C, row - g->pad_top, column - g->pad_left, w->zeros,
              pixels);
        for (; c + LANES <= g->C; c += LANES) input_tile(pixels, c, LANES, w->v + t * g->C + c, w->v_point);
        if (c < g->C) input_tile(pixels, c, g->C - c, w->v + t * g->C + c, w->v_point);
        patch(4, w->dy + image * g->P * g->Q * g->K, g->P, g->Q, g->K, row, column, w->zeros, pixels);
        for (; k < g->K; k += LANES) {
            REAL *d = w->d + (k / PANEL * w->chunk + t) * PANEL + k % PANEL;
            if (k + LANES <= g->K) gradient_tile(pixels, k, LANES, d, w->d_point);
            else gradient_tile(pixels, k, g->K - k, d, w->d_point);
        }
    }
}

static void winograd_weight_products(void *context, int64_t task, int thread) {
    const winograd_weight_job *w = context;
    int64_t C = w->g->C, point = task / w->panels, panel = task % w->panels;
    const int64_t start = 0;
    segments along = {1, w->count, &start};
    ending end = {NULL, w->first > 0, min64(PANEL, w->g->K - panel * PANEL)};
    (void)thread;
    for (int64_t c = 0; c < C; c += TILE_ROWS) {
        int live = (int)min64(TILE_ROWS, C - c);
        REAL *outs[TILE_ROWS];
        for (int i = 0; i < TILE_ROWS; i++)
            outs[i] = w->z + point * w->z_point + (c + min64(i, live - 1)) * w->columns + panel * PANEL;
        column_tile(live, w->v + point * w->v_point + c, C, along, w->d + point * w->d_point + panel * w->chunk * PANEL, outs,
                    end);
    }
}

static void winograd_weight_output(void *context, int64_t c, int thread) {
    const winograd_weight_job *w = context;
    int64_t C = w->g->C, K = w->g->K;
    (void)thread;
    for (int64_t k = 0; k < K; k += LANES) {
        vec t[TILE_IN][3], out[3];
        REAL taps[9 * LANES];
        UNROLL for (int i = 0; i < TILE_IN; i++) {
            vec row[TILE_IN];
            UNROLL for (int j = 0; j < TILE_IN; j++) row[j] = load(w->z + (i * TILE_IN + j) * w->z_point + c * w->columns + k);
            transform_output3(row, t[i]);
        }
        UNROLL for (int j = 0; j < 3; j++) {
            vec column[TILE_IN];
            UNROLL for (int i = 0; i < TILE_IN; i++) column[i] = t[i][j];
            transform_output3(column, out);
            UNROLL for (int i = 0; i < 3; i++) store(taps + (3 * i + j) * LANES, out[i]);
        }
        for (int64_t lane = 0; lane < min64(LANES, K - k); lane++)
            for (int i = 0; i < 9; i++) w->dw[((k + lane) * C + c) * 9 + i] = taps[i * LANES + lane];
    }
}

INLINE int is_winograd_weight(const fn_conv *g) {
    int fits = g->R == 3 && g->S == 3 && g->stride_h == 1 && g->stride_w == 1 && g->dilation_h == 1 && g->dilation_w == 1;
    return fits && g->groups == 1 && choose_winograd(g->C, g->K, g->P, g->Q);
}

static fn_status winograd_weight_run(const fn_conv *g, const REAL *x, const REAL *dy, REAL *dw) {
    winograd_weight_job w = {.g = g, .x = x, .dy = dy, .dw = dw, .grid = grid_of(g->N, g->P, g->Q)};
    w.panels = ceil_div(g->K, PANEL);
    w.columns = w.panels * PANEL;
    /* The chunk sets the order of summation: it depends on the channels alone. */
    w.chunk = max64(64, min64(512, WINOGRAD_CHUNK_BYTES / (POINTS * (g->C + g->K) * (int64_t)sizeof(REAL))));
    w.v_point = odd_lines(w.chunk * g->C + TILE_ROWS); /* a column tile reads a little beyond the last */
    w.d_point = odd_lines(w.panels * w.chunk * PANEL);
    w.z_point = odd_lines(g->C * w.columns);
    int64_t zeros = max64(g->C, w.columns);
    w.v = fn_alloc((size_t)(POINTS * (w.v_point + w.d_point + w.z_point) + zeros) * sizeof(REAL), FN_SCRATCH);
    if (!w.v) return FN_NO_MEMORY;
    w.d = w.v + POINTS * w.v_point, w.z = w.d + POINTS * w.d_point, w.zeros = w.z + POINTS * w.z_point;
    memset(w.zeros, 0, (size_t)zeros * sizeof(REAL));
    for (w.first = 0; w.first < w.grid.count; w.first += w.chunk) {
        w.count = min64(w.chunk, w.grid.count - w.first);
        double work = (double)w.count * POINTS * (double)(g->C + g->K) / LANES;
        fn_parallel(ceil_div(w.count, TILES_A_TASK), 4 * work, winograd_weight_tiles, &w);
        fn_parallel(POINTS * w.panels, work * (double)min64(g->C, g->K), winograd_weight_products, &w);
    }
    fn_parallel(g->C, (double)(g->C * g->K) * 100 / LANES, winograd_weight_output, &w);
    fn_free(w.v);
    return FN_OK;
}
