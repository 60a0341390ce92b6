/* Convolution as an implicit matrix product: rows are output pixels, columns are output channels, the reduction runs
 * over taps and input channels.  No im2col matrix exists: a row of A is the input itself, read in place, or, where taps
 * reach into the padding, a slab of the few input rows that a task needs.
 */

enum { POOLED_BYTES = 64 << 10 }; /* of outputs that a task keeps until they are pooled */

/* Pointers to the first tap and to the output of each pixel in output rows [first, last); fills the slab.  Outputs that
 * will be pooled lie side by side at `full`. */
static void locate_pixels(const conv_job *job, int64_t first, int64_t last, REAL *slab, REAL *full, const REAL **rows,
                          REAL **outs) {
    while (first < last) { /* the rows of one image at a time */
        int64_t image = first / job->P, p = first % job->P, count = min64(last - first, job->P - p);
        int64_t row = p * job->step_h + job->first_h, pixel = job->in_pixel, line = job->W * pixel;
        const REAL *base;
        if (job->slab) {
            pixel = job->C, line = job->slab_columns * pixel, base = slab;
            fill_slab(job, image, row, slab_rows(job, count), slab);
            slab += slab_rows(job, count) * line;
        } else {
            base = job->in + (image * job->H + row) * line + job->first_w * pixel;
        }
        for (int64_t r = 0; r < count; r++)
            for (int64_t q = 0; q < job->Q; q++) {
                *rows++ = base + r * job->step_h * line + q * job->step_w * pixel;
                if (job->pooled) *outs++ = full, full += job->K;
                else *outs++ = job->out + image * job->out_image + (p + r) * job->out_row + q * job->out_pixel;
            }
        first += count;
    }
}

static void conv_task(void *context, int64_t task, int thread) {
    const conv_job *job = context;
    int64_t first = task % job->row_tasks * job->rows_per_task,
            last = min64(first + job->rows_per_task, job->N * job->P);
    int64_t first_panel = task / job->row_tasks * job->panels_per_task * PANEL;
    int64_t end_panel = min64(first_panel + job->panels_per_task * PANEL, job->K);
    int64_t pixels = (last - first) * job->Q, steps = job->along.count * job->along.length;
    char *scratch = job->scratch + thread * job->scratch_bytes;
    const REAL **rows = (const REAL **)(scratch + job->slab_bytes);
    REAL **outs = (REAL **)(rows + job->rows_per_task * job->Q);
    REAL *full = (REAL *)(outs + job->rows_per_task * job->Q);
    locate_pixels(job, first, last, (REAL *)scratch, full, rows, outs);
    for (int64_t panel = first_panel; panel < end_panel; panel += PANEL) {
        const REAL *b = job->prepared + panel * steps;
        ending end = {&job->end, panel, min64(PANEL, job->K - panel)};
        for (int64_t i = 0; i < pixels; i += TILE_ROWS) {
            for (int64_t j = i + TILE_ROWS; j < min64(i + 2 * TILE_ROWS, pixels); j++) /* written soon */
                __builtin_prefetch(outs[j] + panel, 1), __builtin_prefetch(outs[j] + panel + LANES, 1);
            row_tile((int)min64(TILE_ROWS, pixels - i), rows + i, job->along, b, outs + i, end);
        }
    }
    if (job->pooled) pool_outputs(job, first, last, first_panel, end_panel, full);
}

static void pack_weights(void *context, int64_t panel, int thread) {
    const conv_job *job = context;
    int64_t columns = min64(PANEL, job->K - panel * PANEL), steps = job->R * job->S * job->C;
    REAL *b = job->prepared + panel * PANEL * steps;
    int64_t taps = job->R * job->S, turn = job->w_tap_w < 0;
    (void)thread;
    if (taps > 1 && job->w_tap_w * (turn ? -1 : 1) == 1 && job->w_tap_h == job->S * job->w_tap_w) {
        /* the taps of a filter lie side by side: read them together */
        const REAL *w = job->w + panel * PANEL * job->w_out - (turn ? taps - 1 : 0);
        for (int64_t c = 0; c < job->C; c++)
            for (int64_t first = 0; first < taps; first += LANES) {
                REAL part[LANES * PANEL] = {0};
                int64_t count = min64(LANES, taps - first);
                transpose(columns, count, w + c * job->w_in + first, job->w_out, part, PANEL);
                for (int64_t i = 0; i < count; i++) {
                    REAL *to = b + ((turn ? taps - 1 - first - i : first + i) * job->C + c) * PANEL;
                    store(to, load(part + i * PANEL)), store(to + LANES, load(part + i * PANEL + LANES));
                }
            }
        return;
    }
    for (int64_t i = 0; i < job->R; i++)
        for (int64_t j = 0; j < job->S; j++, b += job->C * PANEL)
            pack_panel(job->C, columns, job->w + i * job->w_tap_h + j * job->w_tap_w + panel * PANEL * job->w_out,
                       job->w_in, job->w_out, b);
}

INLINE int taps_leave_input(const conv_job *job) {
    return job->first_h < 0 || job->first_w < 0 ||
           (job->P - 1) * job->step_h + job->first_h + (job->R - 1) * job->tap_h >= job->H ||
           (job->Q - 1) * job->step_w + job->first_w + (job->S - 1) * job->tap_w >= job->W;
}

/* Offsets of the segments of one pixel's reduction: whole tap rows where their pixels lie side by side. */
INLINE void list_segments(conv_job *job, int64_t *offsets) {
    int64_t pixel = job->slab ? job->C : job->in_pixel, line = pixel * (job->slab ? job->slab_columns : job->W);
    int joined = job->tap_w == 1 && pixel == job->C;
    job->along = (segments){job->R * (joined ? 1 : job->S), joined ? job->S * job->C : job->C, offsets};
    for (int64_t i = 0; i < job->R; i++)
        for (int64_t j = 0; j < (joined ? 1 : job->S); j++) *offsets++ = i * job->tap_h * line + j * job->tap_w * pixel;
}

static void gemm_measure(conv_job *job) {
    int64_t out_rows = job->N * job->P, panels = ceil_div(job->K, PANEL), taps = job->R * job->S;
    job->slab = taps > 0 && taps_leave_input(job);
    job->slab_columns = (job->Q - 1) * job->step_w + (job->S - 1) * job->tap_w + 1;

    /* About 20 tiles a task, a slab of at most a quarter MiB.  Where that makes too few tasks, they are cut by panels,
     * which reads the input again, and only then by rows, which reads the weights again. */
    int64_t rows = max64(1, 20 * TILE_ROWS / job->Q), line = job->slab_columns * job->C * (int64_t)sizeof(REAL);
    int64_t wanted = fn_threads() > 1 ? 4 * fn_threads() : 1;
    rows = min64(out_rows, max64(1, min64(rows, ((int64_t)1 << 18) / max64(1, line * job->step_h))));
    int64_t cuts = max64(1, min64(panels, ceil_div(wanted, ceil_div(out_rows, rows))));
    rows = min64(rows, ceil_div(out_rows * cuts, wanted));
    if (job->pooled) rows = max64(2, min64(rows, POOLED_BYTES / (job->Q * job->K * (int64_t)sizeof(REAL))) / 2 * 2);
    job->rows_per_task = rows;
    job->row_tasks = ceil_div(out_rows, rows);
    job->panels_per_task = ceil_div(panels, cuts);
    int64_t images = (rows + job->P - 2) / job->P + 1; /* that a task may touch */
    job->slab_bytes = job->slab ? (rows * job->step_h + images * slab_rows(job, 1)) * line : 0;
    job->slab_bytes = ceil_div(job->slab_bytes, 64) * 64;
    int64_t full = job->pooled ? job->K * (int64_t)sizeof(REAL) : 0;
    job->scratch_bytes = ceil_div(job->slab_bytes + rows * job->Q * (2 * (int64_t)sizeof(void *) + full), 64) * 64;
    job->shared_bytes = taps * (int64_t)sizeof(int64_t); /* the segments' offsets */
    job->prepared_bytes = panels * PANEL * taps * job->C * (int64_t)sizeof(REAL);
}

static void gemm_prepare(conv_job *job) {
    int64_t panels = ceil_div(job->K, PANEL), steps = job->R * job->S * job->C;
    fn_parallel(panels, (double)steps * PANEL * (double)panels, pack_weights, job);
}

static void gemm_execute(conv_job *job) {
    double steps = (double)(job->R * job->S) * (double)job->C;
    list_segments(job, (int64_t *)(job->scratch + fn_threads() * job->scratch_bytes));
    fn_parallel(job->row_tasks * ceil_div(ceil_div(job->K, PANEL), job->panels_per_task),
                (double)(job->N * job->P) * (double)job->Q * (double)job->K * (steps + 1) / LANES, conv_task, job);
}

/* Only narrow may depend on the width of vectors, since it has gemm's bits.  Groups that vectors are too narrow to take
 * together are direct, too. */
INLINE conv_form conv_choose(const conv_job *job) {
    if (job->group) return BY_DEPTHWISE;
    int of_group = job->C == GROUP && job->K == GROUP && job->in_pixel > job->C;
    if (!of_group && is_winograd(job)) return BY_WINOGRAD;
    return is_small(job) ? BY_SMALL : is_narrow(job) ? BY_NARROW : BY_GEMM;
}

/* Three steps, so that inference can keep what depends on the weights alone: measure says how large `prepared` and
 * `scratch` must be for the form, prepare lays out the weights, execute computes. */
static void conv_measure(conv_job *job) {
    if (job->form == BY_DEPTHWISE) depthwise_measure(job);
    else if (job->form == BY_WINOGRAD) winograd_measure(job);
    else if (job->form == BY_NARROW) narrow_measure(job);
    else gemm_measure(job);
}

static void conv_prepare(conv_job *job) {
    if (job->form == BY_DEPTHWISE) depthwise_prepare(job);
    else if (job->form == BY_WINOGRAD) winograd_prepare(job);
    else if (job->form == BY_NARROW) narrow_prepare(job);
    else gemm_prepare(job);
}

static void conv_execute(conv_job *job) {
    note_form(job->form);
    if (job->form == BY_DEPTHWISE) depthwise_execute(job);
    else if (job->form == BY_WINOGRAD) winograd_execute(job);
    else if (job->form == BY_SMALL) small_execute(job);
    else if (job->form == BY_NARROW) narrow_execute(job);
    else gemm_execute(job);
}

INLINE int64_t conv_scratch_bytes(const conv_job *job) { return fn_threads() * job->scratch_bytes + job->shared_bytes; }

static fn_status conv_run(conv_job *job) {
    if (job->N * job->P * job->Q == 0) return FN_OK;
    job->form = conv_choose(job), job->once = 1;
    conv_measure(job);
    job->prepared = fn_alloc((size_t)job->prepared_bytes, FN_SCRATCH);
    job->scratch = fn_alloc((size_t)conv_scratch_bytes(job), FN_SCRATCH);
    fn_status status = job->prepared && job->scratch ? FN_OK : FN_NO_MEMORY;
    if (status == FN_OK) conv_prepare(job), conv_execute(job);
    fn_free(job->prepared);
    fn_free(job->scratch);
    return status;
}

/* Images [first, first + count), which lie at `in`, of a job whose weights are prepared. */
static fn_status conv_run_images(const conv_job *whole, const REAL *in, int64_t first, int64_t count) {
    conv_job job = *whole;
    if (count * job.P * job.Q == 0) return FN_OK;
    job.N = count, job.in = in, job.out += first * job.out_image;
    conv_measure(&job);
    job.scratch = fn_alloc((size_t)conv_scratch_bytes(&job), FN_SCRATCH);
    if (!job.scratch) return FN_NO_MEMORY;
    conv_execute(&job);
    fn_free(job.scratch);
    return FN_OK;
}

/* The forward pass of one group, or of all when they go together. */
INLINE conv_job forward_job(const fn_conv *g, int64_t group, const REAL *x, const REAL *w, const fn_epilogue *end,
                            REAL *y) {
    int64_t together = groups_together(g), taps = g->R * g->S, depth = g->C / g->groups;
    int64_t C = depth * together, K = g->K / g->groups * together;
    return (conv_job){
        .N = g->N,
        .H = g->H,
        .W = g->W,
        .C = C,
        .in_pixel = g->C,
        .in = x + group * C,
        .P = g->P,
        .Q = g->Q,
        .K = K,
        .out_image = g->P * g->Q * g->K,
        .out_row = g->Q * g->K,
        .out_pixel = g->K,
        .out = y + group * K,
        .R = g->R,
        .S = g->S,
        .step_h = g->stride_h,
        .step_w = g->stride_w,
        .first_h = -g->pad_top,
        .first_w = -g->pad_left,
        .tap_h = g->dilation_h,
        .tap_w = g->dilation_w,
        .w = w + group * K * depth * taps,
        .w_tap_h = g->S,
        .w_tap_w = 1,
        .w_in = taps,
        .w_out = depth * taps,
        .end = epilogue_of(end, group * K, y),
        .group = together > 1 ? depth : 0,
        .w_group = depth * depth * taps,
    };
}

static fn_status conv_forward(const fn_conv *g, const void *x, const void *w, const fn_epilogue *end, void *y) {
    fn_status status = FN_OK;
    for (int64_t group = 0; group < conv_jobs(g) && status == FN_OK; group++) {
        conv_job job = forward_job(g, group, x, w, end, y);
        status = conv_run(&job);
    }
    return status;
}
