/* The weight gradient: dw[k][c][r][s] = sum over output pixels of dy[pixel][k] * x[pixel's tap (r, s)][c].
 *
 * As a matrix product its rows are (r, s, c), its columns k, and the reduction runs over output pixels.  The output rows
 * of the batch are cut into a fixed number of parts; a part goes through its rows in chunks: it copies the input rows of
 * a chunk into a slab, packs dy into panels unless it comes in whole vectors, and adds the chunk's products to its own
 * partial gradient (R*S*C, K rounded up to panels).  The parts are added in a fixed tree.  Neither threads nor ISA move
 * the cuts.
 */
typedef struct {
    conv_job input; /* where taps are, and the slab's shape */
    const REAL *dy;
    int64_t dy_pixel, parts, chunk_rows, panels, panels_per_task, columns;
    int64_t soon_step; /* bytes of the next chunk's dy to ask for in a step of each tile */
    int64_t slab_bytes, panel_bytes, scratch_bytes;
    REAL *partial, *dw;
    char *scratch;
} weight_job;

enum { CHUNK_PIXELS = 384, SOON_CHANNELS = 128 };

/* Filter rows that share a tile: two where both fit. */
INLINE int64_t weight_lines(const conv_job *in) {
    return in->tap_w == 1 && in->R > 1 && 2 * in->S * in->C <= TILE_ROWS ? 2 : 1;
}

/* Add the products of one chunk, its slab filled, to rows (r, s, c) of one panel. */
static void weight_chunk(const weight_job *job, segments along, const REAL *slab, stream *dy, REAL *partial,
                         int64_t columns) {
    const conv_job *in = &job->input;
    int64_t line = in->slab_columns * in->C, joined = in->tap_w == 1, length = joined ? in->S * in->C : in->C, lines;
    epilogue add = {NULL, NULL, partial, partial, 0};
    ending end = {&add, 0, columns};
    for (int64_t r = 0; r < in->R; r += lines) {
        lines = min64(weight_lines(in), in->R - r);
        for (int64_t s = 0; s < (joined ? 1 : in->S); s++)
            for (int64_t i = 0, tiles = ceil_div(length, TILE_ROWS), live; tiles > 0; i += live, tiles--) {
                live = ceil_div(length - i, tiles);
                REAL *c[TILE_ROWS];
                for (int64_t j = 0, row = (r * in->S + s) * in->C + i; j < lines * live; j++)
                    c[j] = partial + (row + j) * job->columns;
                const REAL *base = slab + r * in->tap_h * line + s * in->tap_w * in->C + i;
                neighbours from = {base, in->step_w * in->C, in->tap_h * line, (int)lines};
                column_tile_over((int)live, from, along, *dy, c, end);
                dy->soon += along.count * along.length * dy->soon_step;
            }
    }
}

static void weight_task(void *context, int64_t task, int thread) {
    const weight_job *job = context;
    const conv_job *in = &job->input;
    int64_t part = task % job->parts, panel = task / job->parts * job->panels_per_task;
    int64_t end_panel = min64(panel + job->panels_per_task, job->panels), out_rows = in->N * in->P;
    int64_t first = out_rows * part / job->parts, last = out_rows * (part + 1) / job->parts;
    int64_t rows = in->R * in->S * in->C;
    char *scratch = job->scratch + thread * job->scratch_bytes;
    REAL *slab = (REAL *)scratch, *b = (REAL *)(scratch + job->slab_bytes);
    int64_t *offsets = (int64_t *)(scratch + job->slab_bytes + job->panel_bytes);
    REAL *partial = job->partial + part * rows * job->columns;
    for (int64_t row = 0; row < rows; row++)
        memset(partial + row * job->columns + panel * PANEL, 0, (size_t)((end_panel - panel) * PANEL) * sizeof(REAL));
    while (first < last) {
        int64_t chunk_end = min64(first + job->chunk_rows, last), count = 0, used = 0;
        const REAL *dy = job->dy + first * in->Q * job->dy_pixel;
        while (first < chunk_end) {
            int64_t image = first / in->P, p = first % in->P, rows_here = min64(chunk_end - first, in->P - p);
            fill_slab(in, image, p * in->step_h + in->first_h, slab_rows(in, rows_here), slab + used);
            for (int64_t i = 0; i < rows_here; i++) offsets[count++] = used + i * in->step_h * in->slab_columns * in->C;
            used += slab_rows(in, rows_here) * in->slab_columns * in->C;
            first += rows_here;
        }
        segments along = {count, in->Q, offsets};
        stream from = {.soon = (const char *)(dy + count * in->Q * job->dy_pixel), .soon_step = job->soon_step};
        for (int64_t k = panel; k < end_panel; k++) {
            int64_t columns = min64(PANEL, in->K - k * PANEL);
            from.b = dy + k * PANEL, from.step = job->dy_pixel;
            if (columns % LANES) {
                pack_panel(count * in->Q, columns, from.b, job->dy_pixel, 1, b);
                from.b = b, from.step = PANEL;
            }
            weight_chunk(job, along, slab, &from, partial + k * PANEL, ceil_div(columns, LANES) * LANES);
        }
    }
}

enum { UNPACK_CHANNELS = 8 };

static void unpack_weights(void *context, int64_t task, int thread) { /* partial (R*S, C, columns) -> dw (K, C, R*S) */
    const weight_job *job = context;
    int64_t C = job->input.C, taps = job->input.R * job->input.S, first = task * UNPACK_CHANNELS;
    int64_t last = min64(first + UNPACK_CHANNELS, C);
    (void)thread;
    for (int64_t k = 0; k < job->input.K; k++)
        for (int64_t c = first; c < last; c++)
            for (int64_t tap = 0; tap < taps; tap++)
                job->dw[(k * C + c) * taps + tap] = job->partial[(tap * C + c) * job->columns + k];
}

static fn_status weight_run(const conv_job *input) {
    weight_job job = {.input = *input, .dy = input->out, .dy_pixel = input->out_pixel, .dw = (REAL *)input->w};
    conv_job *in = &job.input;
    int64_t out_rows = in->N * in->P, rows = in->R * in->S * in->C;
    in->slab_columns = (in->Q - 1) * in->step_w + (in->S - 1) * in->tap_w + 1;
    job.panels = ceil_div(in->K, PANEL);
    job.columns = job.panels * PANEL;

    /* Parts and chunks depend on the geometry alone.  Partial gradients take 4 MiB at most, or are only one. */
    int64_t gradient_bytes = rows * in->K * (int64_t)sizeof(REAL),
            line = in->slab_columns * in->C * (int64_t)sizeof(REAL);
    job.parts = 1;
    while (job.parts < 16 && 2 * job.parts * gradient_bytes <= ((int64_t)4 << 20) && 2 * job.parts <= out_rows)
        job.parts *= 2;
    job.chunk_rows = max64(1, min64(CHUNK_PIXELS / in->Q, ((int64_t)1 << 18) / max64(1, line * in->step_h)));
    int64_t groups = min64(job.panels, ceil_div(4 * fn_threads(), job.parts));
    job.panels_per_task = ceil_div(job.panels, groups);
    int64_t run = in->tap_w == 1 ? in->S * in->C : in->C,
            tiles = job.panels * rows / (run * weight_lines(in)) * ceil_div(run, TILE_ROWS);
    job.soon_step = groups == 1 && in->K <= SOON_CHANNELS ? ceil_div(job.dy_pixel * (int64_t)sizeof(REAL), tiles) : 0;

    int64_t images = (job.chunk_rows + in->P - 2) / in->P + 1;
    job.slab_bytes = (job.chunk_rows * in->step_h + images * slab_rows(in, 1)) * line;
    job.slab_bytes = ceil_div(job.slab_bytes, 64) * 64;
    job.panel_bytes = job.chunk_rows * in->Q * PANEL * (int64_t)sizeof(REAL);
    job.scratch_bytes = ceil_div(job.slab_bytes + job.panel_bytes + job.chunk_rows * (int64_t)sizeof(int64_t), 64) * 64;

    job.partial = fn_alloc((size_t)(job.parts * rows * job.columns) * sizeof(REAL), FN_SCRATCH);
    job.scratch = fn_alloc((size_t)(fn_threads() * job.scratch_bytes), FN_SCRATCH);
    fn_status status = job.partial && job.scratch ? FN_OK : FN_NO_MEMORY;
    if (status == FN_OK) {
        double work = (double)out_rows * (double)in->Q * (double)rows * (double)job.columns / LANES;
        fn_parallel(job.parts * ceil_div(job.panels, job.panels_per_task), work, weight_task, &job);
        sum_parts(job.parts, rows * job.columns, job.partial);
        fn_parallel(ceil_div(in->C, UNPACK_CHANNELS), (double)rows * (double)in->K, unpack_weights, &job);
    }
    fn_free(job.partial);
    fn_free(job.scratch);
    return status;
}

static fn_status conv_grad_weight(const fn_conv *g, const void *x, const void *dy, void *dw) {
    fn_status status = FN_OK;
    if (g->N == 0) {
        memset(dw, 0, (size_t)(g->K * (g->C / g->groups) * g->R * g->S) * sizeof(REAL));
        return FN_OK;
    }
    if (is_winograd_weight(g)) {
        note_form(BY_WINOGRAD);
        return winograd_weight_run(g, x, dy, dw);
    }
    for (int64_t group = 0; group < conv_jobs(g) && status == FN_OK; group++) {
        conv_job input = forward_job(g, group, x, dw, NULL, (REAL *)dy); /* what lies where w and y do there */
        note_form(input.group ? BY_DEPTHWISE : is_small(&input) ? BY_SMALL : BY_GEMM);
        if (input.group) status = depthwise_weight_run(&input, dy, dw);
        else status = is_small(&input) ? small_weight_run(&input) : weight_run(&input);
    }
    return status;
}
