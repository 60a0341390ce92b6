/* The weight gradient: dw[k][c][r][s] = sum over output pixels of dy[pixel][k] * x[pixel's tap (r, s)][c].
 *
 * As a matrix product, its rows are (r, s, c), its columns k, and the reduction runs over output pixels. The output
 * rows of the batch are split into a fixed number of parts, each processed in chunks: a part copies a chunk's input
 * rows into a slab, packs dy into panels where that pays, and adds the chunk's products to its own partial
 * gradient (R*S*C, K rounded up to panels). The parts are added in a fixed tree. The split depends on neither threads
 * nor ISA.
 */
typedef struct {
    weight_gradient of;
    int64_t slab_columns, parts, chunk_rows, panels, panels_per_task, columns;
    int64_t soon_stride; /* bytes of the next chunk's dy prefetched at each step of a tile */
    int64_t slab_bytes, panel_bytes, scratch_bytes;
    REAL *partial;
    char *scratch;
} gemm_weight_job;

enum { PACKED_TILES = 4 }; /* register tiles that must read a packed panel for packing to pay */

/* Filter rows that share a tile: two if both fit. */
INLINE int64_t rows_per_tile(const conv_problem *conv) {
    return conv->tap_w == 1 && conv->R > 1 && 2 * conv->S * conv->C <= TILE_ROWS ? 2 : 1;
}

/* Add the products of a chunk, already in the slab, to rows (r, s, c) of one panel. */
static void gemm_weight_chunk(const gemm_weight_job *job, segments along, const REAL *slab, panel_operand *dy,
                              REAL *partial, int64_t columns) {
    const conv_problem *conv = &job->of.conv;
    int64_t row_stride = job->slab_columns * conv->C, joined = conv->tap_w == 1,
            length = joined ? conv->S * conv->C : conv->C, filter_rows;
    epilogue add = {.add = partial, .out = partial};
    tile_store end = {&add, 0, columns, LIVE};
    for (int64_t r = 0; r < conv->R; r += filter_rows) {
        filter_rows = min64(rows_per_tile(conv), conv->R - r);
        for (int64_t s = 0; s < (joined ? 1 : conv->S); s++)
            for (int64_t i = 0, tiles = ceil_div(length, TILE_ROWS), live; tiles > 0; i += live, tiles--) {
                live = ceil_div(length - i, tiles);
                REAL *c[TILE_ROWS];
                for (int64_t j = 0, row = (r * conv->S + s) * conv->C + i; j < filter_rows * live; j++)
                    c[j] = partial + (row + j) * job->columns;
                const REAL *base = slab + r * conv->tap_h * row_stride + s * conv->tap_w * conv->C + i;
                column_operand from = {base, conv->stride_w * conv->C, conv->tap_h * row_stride, (int)filter_rows};
                column_tile_over((int)live, from, along, *dy, c, end);
                dy->soon += along.count * along.length * dy->soon_stride;
            }
    }
}

static void gemm_weight_task(void *context, int64_t task, int thread) {
    const gemm_weight_job *job = context;
    const weight_gradient *of = &job->of;
    const conv_problem *conv = &of->conv;
    int64_t part = task % job->parts, panel = task / job->parts * job->panels_per_task;
    int64_t end_panel = min64(panel + job->panels_per_task, job->panels), out_rows = conv->N * conv->P;
    int64_t first = out_rows * part / job->parts, last = out_rows * (part + 1) / job->parts;
    int64_t rows = conv->R * conv->S * conv->C;
    char *scratch = job->scratch + thread * job->scratch_bytes;
    REAL *slab = (REAL *)scratch, *b = (REAL *)(scratch + job->slab_bytes);
    int64_t *offsets = (int64_t *)(scratch + job->slab_bytes + job->panel_bytes);
    REAL *partial = job->partial + part * rows * job->columns;
    for (int64_t row = 0; row < rows; row++)
        memset(partial + row * job->columns + panel * PANEL, 0, (size_t)((end_panel - panel) * PANEL) * sizeof(REAL));
    while (first < last) {
        int64_t chunk_end = min64(first + job->chunk_rows, last), count = 0, used = 0;
        const REAL *dy = of->dy + first * conv->Q * of->dy_pixel;
        while (first < chunk_end) {
            int64_t image = first / conv->P, p = first % conv->P, rows_here = min64(chunk_end - first, conv->P - p);
            fill_slab(conv, of->x, of->x_pixel, job->slab_columns, image, p * conv->stride_h + conv->first_h,
                      slab_rows(conv, rows_here), slab + used);
            for (int64_t i = 0; i < rows_here; i++)
                offsets[count++] = used + i * conv->stride_h * job->slab_columns * conv->C;
            used += slab_rows(conv, rows_here) * job->slab_columns * conv->C;
            first += rows_here;
        }
        segments along = {count, conv->Q, offsets};
        panel_operand from = {.soon = (const char *)(dy + count * conv->Q * of->dy_pixel),
                              .soon_stride = job->soon_stride};
        /* Where rows of dy are a multiple of many cache lines long, the parts of them that make a panel evict each
         * other from L1, unless they are packed. */
        int pack = of->dy_pixel > PANEL && rows >= PACKED_TILES * TILE_ROWS &&
                   count * conv->Q * PANEL * (int64_t)sizeof(REAL) <= fn_speed.packed_bytes;
        for (int64_t k = panel; k < end_panel; k++) {
            int64_t columns = min64(PANEL, conv->K - k * PANEL);
            from.b = dy + k * PANEL;
            from.stride = of->dy_pixel;
            if (columns % LANES || pack) {
                pack_panel(count * conv->Q, columns, from.b, of->dy_pixel, 1, b);
                from.b = b;
                from.stride = PANEL;
            }
            gemm_weight_chunk(job, along, slab, &from, partial + k * PANEL, ceil_div(columns, LANES) * LANES);
        }
    }
}

static void unpack_weights(void *context, int64_t task, int thread) { /* partial (R*S, C, columns) -> dw (K, C, R*S) */
    const gemm_weight_job *job = context;
    const weight_gradient *of = &job->of;
    const conv_problem *conv = &of->conv;
    int64_t C = conv->C, taps = conv->R * conv->S, first = task * fn_speed.unpack_channels;
    int64_t last = min64(first + fn_speed.unpack_channels, C);
    (void)thread;
    for (int64_t k = 0; k < conv->K; k++)
        for (int64_t c = first; c < last; c++)
            for (int64_t tap = 0; tap < taps; tap++)
                of->dw[(k * C + c) * taps + tap] = job->partial[(tap * C + c) * job->columns + k];
}

static fn_status gemm_weight_run(const weight_gradient *of) {
    const conv_problem *conv = &of->conv;
    gemm_weight_job job = {.of = *of, .panels = ceil_div(conv->K, PANEL)};
    int64_t out_rows = conv->N * conv->P, rows = conv->R * conv->S * conv->C;
    job.slab_columns = (conv->Q - 1) * conv->stride_w + (conv->S - 1) * conv->tap_w + 1;
    job.columns = job.panels * PANEL;

    /* Parts and chunks set the order of summation: they depend on the shape alone.  Partial gradients take at most
     * WEIGHT_PARTIAL_BYTES, or there is only one. */
    int64_t gradient_bytes = rows * conv->K * (int64_t)sizeof(REAL);
    int64_t line_bytes = job.slab_columns * conv->C * (int64_t)sizeof(REAL);
    job.parts = 1;
    while (job.parts < WEIGHT_PARTS && 2 * job.parts * gradient_bytes <= WEIGHT_PARTIAL_BYTES &&
           2 * job.parts <= out_rows)
        job.parts *= 2;
    job.chunk_rows =
        max64(1, min64(WEIGHT_CHUNK_PIXELS / conv->Q, WEIGHT_SLAB_BYTES / max64(1, line_bytes * conv->stride_h)));
    int64_t groups = min64(job.panels, ceil_div(fn_speed.tasks_per_thread * of->threads, job.parts));
    job.panels_per_task = ceil_div(job.panels, groups);
    int64_t run = conv->tap_w == 1 ? conv->S * conv->C : conv->C;
    int64_t tiles = job.panels * rows / (run * rows_per_tile(conv)) * ceil_div(run, TILE_ROWS);
    job.soon_stride = groups == 1 ? ceil_div(of->dy_pixel * (int64_t)sizeof(REAL), tiles) : 0;

    int64_t images = (job.chunk_rows + conv->P - 2) / conv->P + 1; /* read by a chunk at most */
    job.slab_bytes = (job.chunk_rows * conv->stride_h + images * slab_rows(conv, 1)) * line_bytes;
    job.slab_bytes = ceil_div(job.slab_bytes, 64) * 64;
    job.panel_bytes = job.chunk_rows * conv->Q * PANEL * (int64_t)sizeof(REAL);
    job.scratch_bytes = ceil_div(job.slab_bytes + job.panel_bytes + job.chunk_rows * (int64_t)sizeof(int64_t), 64) * 64;

    job.partial = fn_alloc((size_t)(job.parts * rows * job.columns) * sizeof(REAL), FN_SCRATCH);
    job.scratch = fn_alloc((size_t)(of->threads * job.scratch_bytes), FN_SCRATCH);
    fn_status status = job.partial && job.scratch ? FN_OK : FN_NO_MEMORY;
    if (status == FN_OK) {
        double work = (double)out_rows * (double)conv->Q * (double)rows * (double)job.columns / LANES;
        int64_t tasks = job.parts * ceil_div(job.panels, job.panels_per_task);
        fn_parallel_on(of->threads, tasks, work, gemm_weight_task, &job);
        sum_parts(of->threads, job.parts, rows * job.columns, job.partial);
        fn_parallel_on(of->threads, ceil_div(conv->C, fn_speed.unpack_channels), (double)rows * (double)conv->K,
                       unpack_weights, &job);
    }
    fn_free(job.partial);
    fn_free(job.scratch);
    return status;
}
