/* Convolution as an implicit matrix product: rows are output pixels, columns are output channels, the reduction runs
 * over taps and input channels.  There is no im2col matrix: a row of A is read in place from the input, or, where taps
 * reach into the padding, from a slab with the few input rows that a task needs.  Needs conv/job.h.
 *
 * Assumptions: the layout of `prepared` depends on R, S, C and K alone, not on N or the threads.
 */

/* Set the pointers to the first tap and the output of each pixel in output rows [first, last), and fill the slab.
 * Outputs to be pooled are stored densely at `full`. */
static void locate_pixels(const conv_job *job, int64_t first, int64_t last, REAL *slab, REAL *full, const REAL **rows,
                          REAL **outs) {
    const conv_problem *conv = &job->conv;
    while (first < last) { /* the rows, one image at a time */
        int64_t image = first / conv->P, p = first % conv->P, count = min64(last - first, conv->P - p);
        int64_t row = p * conv->stride_h + conv->first_h, pixel = job->at.in_pixel, row_stride = conv->W * pixel;
        const REAL *base;
        if (job->run.slab) {
            pixel = conv->C;
            row_stride = job->run.slab_columns * pixel;
            base = slab;
            fill_slab(conv, job->at.in, job->at.in_pixel, job->run.slab_columns, image, row, slab_rows(conv, count),
                      slab);
            slab += slab_rows(conv, count) * row_stride;
        } else {
            base = job->at.in + (image * conv->H + row) * row_stride + conv->first_w * pixel;
        }
        for (int64_t r = 0; r < count; r++)
            for (int64_t q = 0; q < conv->Q; q++) {
                *rows++ = base + r * conv->stride_h * row_stride + q * conv->stride_w * pixel;
                if (job->pooled) {
                    *outs++ = full;
                    full += conv->K;
                } else
                    *outs++ =
                        job->at.out + image * job->at.out_image + (p + r) * job->at.out_row + q * job->at.out_pixel;
            }
        first += count;
    }
}

INLINE int pixels_touch(const conv_job *job) {
    const conv_problem *conv = &job->conv;
    const conv_layout *at = &job->at;
    return at->out_pixel == conv->K && at->out_row == conv->Q * at->out_pixel && at->out_image == conv->P * at->out_row;
}

static void conv_gemm_task(void *context, int64_t task, int thread) {
    const conv_job *job = context;
    const conv_problem *conv = &job->conv;
    int64_t first = task % job->run.row_tasks * job->run.rows_per_task,
            last = min64(first + job->run.rows_per_task, conv->N * conv->P);
    int64_t jr_start = task / job->run.row_tasks * job->run.panels_per_task * PANEL;
    int64_t jr_end = min64(jr_start + job->run.panels_per_task * PANEL, conv->K);
    int64_t pixels = (last - first) * conv->Q, steps = job->run.along.count * job->run.along.length;
    char *scratch = job->run.scratch + thread * job->run.scratch_bytes;
    const REAL **rows = (const REAL **)(scratch + job->run.slab_bytes);
    REAL **outs = (REAL **)(rows + job->run.rows_per_task * conv->Q);
    REAL *full = (REAL *)(outs + job->run.rows_per_task * conv->Q);
    locate_pixels(job, first, last, (REAL *)scratch, full, rows, outs);
    /* Pixels whose channels fill one panel in part, one after the other: the next one overwrites the excess. */
    int touching = conv->K <= PANEL && !job->end.add && (job->pooled || pixels_touch(job));
    int64_t followed = touching ? max64(0, pixels - ceil_div(PANEL, conv->K)) / TILE_ROWS * TILE_ROWS : 0;
    const int around = stores_past_caches(job);
    /* Prefetch what a later tile stores, and the pixels that it reads if they are not in a slab: CPUs do not detect
     * such short runs of cache lines as streams. */
    const int in_place = job->run.along.count == 1 && !job->run.slab;
    tile_ahead soon = {TILE_ROWS * (1 + PIXELS_AHEAD / max64(1, steps)), 0, !around};
    /* Loop over the output channels, a panel at a time, and over the pixels, a register tile at a time. */
    for (int64_t jr = jr_start; jr < jr_end; jr += PANEL) {
        const REAL *b = job->run.prepared + jr * steps;
        tile_store end = {&job->end, jr, min64(PANEL, conv->K - jr), around ? AROUND : WHOLE};
        soon.steps = in_place && jr == jr_start ? steps : 0;
        row_tiles(followed, rows, job->run.along, b, outs, end, soon);
        if (!around) end.stores = LIVE;
        row_tiles(pixels - followed, rows + followed, job->run.along, b, outs + followed, end, soon);
    }
    if (around) store_fence();
    if (job->pooled) pool_outputs(job, first, last, jr_start, jr_end, full);
}

static void pack_weights(void *context, int64_t panel, int thread) {
    const conv_job *job = context;
    const conv_problem *conv = &job->conv;
    int64_t columns = min64(PANEL, conv->K - panel * PANEL), steps = conv->R * conv->S * conv->C;
    REAL *b = job->run.prepared + panel * PANEL * steps;
    int64_t taps = conv->R * conv->S, turn = job->at.w_tap_w < 0;
    (void)thread;
    if (taps > 1 && job->at.w_tap_w * (turn ? -1 : 1) == 1 && job->at.w_tap_h == conv->S * job->at.w_tap_w) {
        /* a filter's taps are adjacent in memory: read them together */
        const REAL *w = job->at.w + panel * PANEL * job->at.w_out - (turn ? taps - 1 : 0);
        for (int64_t c = 0; c < conv->C; c++)
            for (int64_t first = 0; first < taps; first += LANES) {
                REAL part[LANES * PANEL] = {0};
                int64_t count = min64(LANES, taps - first);
                transpose(columns, count, w + c * job->at.w_in + first, job->at.w_out, part, PANEL);
                for (int64_t i = 0; i < count; i++) {
                    REAL *to = b + ((turn ? taps - 1 - first - i : first + i) * conv->C + c) * PANEL;
                    store(to, load(part + i * PANEL));
                    store(to + LANES, load(part + i * PANEL + LANES));
                }
            }
        return;
    }
    for (int64_t i = 0; i < conv->R; i++)
        for (int64_t j = 0; j < conv->S; j++, b += conv->C * PANEL)
            pack_panel(conv->C, columns,
                       job->at.w + i * job->at.w_tap_h + j * job->at.w_tap_w + panel * PANEL * job->at.w_out,
                       job->at.w_in, job->at.w_out, b);
}

INLINE int taps_leave_input(const conv_job *job) {
    const conv_problem *conv = &job->conv;
    return conv->first_h < 0 || conv->first_w < 0 ||
           (conv->P - 1) * conv->stride_h + conv->first_h + (conv->R - 1) * conv->tap_h >= conv->H ||
           (conv->Q - 1) * conv->stride_w + conv->first_w + (conv->S - 1) * conv->tap_w >= conv->W;
}

/* Offsets of the segments of a pixel's reduction: whole tap rows if their pixels are adjacent in memory. */
INLINE void list_segments(conv_job *job, int64_t *offsets) {
    const conv_problem *conv = &job->conv;
    int64_t pixel = job->run.slab ? conv->C : job->at.in_pixel,
            row_stride = pixel * (job->run.slab ? job->run.slab_columns : conv->W);
    int joined = conv->tap_w == 1 && pixel == conv->C;
    job->run.along = (segments){conv->R * (joined ? 1 : conv->S), joined ? conv->S * conv->C : conv->C, offsets};
    for (int64_t i = 0; i < conv->R; i++)
        for (int64_t j = 0; j < (joined ? 1 : conv->S); j++)
            *offsets++ = i * conv->tap_h * row_stride + j * conv->tap_w * pixel;
}

static int gemm_fits(const conv_job *job) {
    (void)job;
    return 1;
}

static void gemm_measure(conv_job *job) {
    const conv_problem *conv = &job->conv;
    int64_t out_rows = conv->N * conv->P, panels = ceil_div(conv->K, PANEL), taps = conv->R * conv->S;
    job->run.slab = taps > 0 && taps_leave_input(job);
    job->run.slab_columns = (conv->Q - 1) * conv->stride_w + (conv->S - 1) * conv->tap_w + 1;

    /* If slab-sized tasks are too few, split them by panels, which rereads the input, and only then by rows, which
     * rereads the weights. */
    int64_t rows = max64(1, fn_speed.conv_tiles * TILE_ROWS / conv->Q),
            line_bytes = job->run.slab_columns * conv->C * (int64_t)sizeof(REAL);
    int64_t wanted = job->run.threads > 1 ? fn_speed.tasks_per_thread * job->run.threads : 1;
    rows = min64(out_rows, max64(1, min64(rows, fn_speed.slab_bytes / max64(1, line_bytes * conv->stride_h))));
    int64_t cuts = max64(1, min64(panels, ceil_div(wanted, ceil_div(out_rows, rows))));
    rows = min64(rows, ceil_div(out_rows * cuts, wanted));
    if (job->pooled)
        rows = max64(2, min64(rows, fn_speed.pooled_bytes / (conv->Q * conv->K * (int64_t)sizeof(REAL))) / 2 * 2);
    job->run.rows_per_task = rows;
    job->run.row_tasks = ceil_div(out_rows, rows);
    job->run.panels_per_task = ceil_div(panels, cuts);
    int64_t images = (rows + conv->P - 2) / conv->P + 1; /* that a task may touch */
    job->run.slab_bytes = job->run.slab ? (rows * conv->stride_h + images * slab_rows(conv, 1)) * line_bytes : 0;
    job->run.slab_bytes = ceil_div(job->run.slab_bytes, 64) * 64;
    int64_t full = job->pooled ? conv->K * (int64_t)sizeof(REAL) : 0;
    job->run.scratch_bytes =
        ceil_div(job->run.slab_bytes + rows * conv->Q * (2 * (int64_t)sizeof(void *) + full), 64) * 64;
    job->run.shared_bytes = taps * (int64_t)sizeof(int64_t); /* the segments' offsets */
    job->run.prepared_bytes = panels * PANEL * taps * conv->C * (int64_t)sizeof(REAL);
}

static void gemm_prepare(conv_job *job) {
    const conv_problem *conv = &job->conv;
    int64_t panels = ceil_div(conv->K, PANEL), steps = conv->R * conv->S * conv->C;
    fn_parallel_on(job->run.threads, panels, (double)steps * PANEL * (double)panels, pack_weights, job);
}

static void gemm_run(conv_job *job) {
    const conv_problem *conv = &job->conv;
    double steps = (double)(conv->R * conv->S) * (double)conv->C;
    list_segments(job, (int64_t *)(job->run.scratch + job->run.threads * job->run.scratch_bytes));
    fn_parallel_on(job->run.threads, job->run.row_tasks * ceil_div(ceil_div(conv->K, PANEL), job->run.panels_per_task),
                   (double)(conv->N * conv->P) * (double)conv->Q * (double)conv->K * (steps + 1) / LANES,
                   conv_gemm_task, job);
}
