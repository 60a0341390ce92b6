/* Convolution at stride 1 by Winograd: how the stages are divided among threads. Needs conv/winograd.h.
 *
 * By blocks, a task is a block of tiles, small enough that its V and one panel's M stay in the cache while all of U is
 * read. By points, for few tiles or for weights larger than the cache, all threads share a larger block and a task is a
 * point and a panel, so U is read once per block. If one block holds all tiles and weights are USED_ONCE, U holds a few
 * panels at a time. By panels, for so few tiles that reading U would take longest, inference transforms the filters
 * again, a vector of channels at a time: they are a quarter of U. Bits do not depend on the way, on blocks, threads, or
 * how a batch is split.
 *
 * Assumption: the layout of U does not depend on N or the threads unless weights are USED_ONCE.
 */
/* Taps must be adjacent in memory, in either order (a phase of a strided gradient may read every other tap). */
static int winograd_fits(const conv_job *job) {
    const conv_problem *conv = &job->conv;
    const conv_layout *at = &job->at;
    int fits = conv->R == conv->S && conv->stride_h == 1 && conv->stride_w == 1 && conv->tap_h == 1 &&
               conv->tap_w == 1 && (at->w_tap_w == 1 || at->w_tap_w == -1) && at->w_tap_h == conv->S * at->w_tap_w;
    int of_group = conv->C == GROUP && conv->K == GROUP && at->in_pixel > conv->C; /* direct, as with wider vectors */
    return fits && !of_group && choose_winograd(conv->R, conv->C, conv->K, conv->P, conv->Q);
}

static void winograd_block(void *context, int64_t task, int thread) {
    const winograd_job *w = context;
    const conv_job *job = w->job;
    int64_t first = task * w->block, count = min64(w->block, w->grid.count - first);
    REAL *v = (REAL *)(job->run.scratch + thread * job->run.scratch_bytes), *m = v + POINTS * w->v_point;
    winograd_inputs(w, first, count, v);
    for (int64_t panel = 0; panel < w->panels; panel++) {
        const REAL *u = u_of(w, panel);
        int width = panel_width(job, panel);
        winograd_position at = position_of(&w->grid, first);
        for (int64_t point = 0; point < POINTS; point++) {
            if (point < count) {
                for (int i = 0; i < width; i++) prefetch_outputs(w, panel * PANEL + i * LANES, at);
                at = next_position(&w->grid, at);
            }
            winograd_product(w, count, point, width, u, v, m);
        }
        winograd_outputs(w, first, count, panel, m);
    }
}

static void winograd_shared_inputs(void *context, int64_t task, int thread) {
    const winograd_job *w = context;
    int64_t first = task * fn_speed.winograd_inputs, count = min64(fn_speed.winograd_inputs, w->tile_count - first);
    (void)thread;
    winograd_inputs(w, w->first_tile + first, count, w->v + first * w->job->conv.C);
}

static void winograd_point(void *context, int64_t task, int thread) {
    const winograd_job *w = context;
    int64_t point = task / w->panel_count, panel = w->first_panel + task % w->panel_count;
    (void)thread;
    winograd_product(w, w->tile_count, point, panel_width(w->job, panel), u_of(w, panel), w->v, m_of(w, panel));
}

static void winograd_shared_outputs(void *context, int64_t task, int thread) {
    const winograd_job *w = context;
    int64_t panel = w->first_panel + task % w->panel_count, first = task / w->panel_count * fn_speed.winograd_outputs;
    int64_t count = min64(fn_speed.winograd_outputs, w->tile_count - first);
    (void)thread;
    winograd_outputs(w, w->first_tile + first, count, panel,
                     m_of(w, panel) + first * panel_width(w->job, panel) * LANES);
}

/* Add the products of the transformed filters u, of `steps` channels, to M. */
static __attribute__((noinline)) void winograd_add_products(const winograd_job *w, int width, int64_t steps,
                                                            const REAL *u, const REAL *v, REAL *m) {
    for (int64_t point = 0; point < POINTS; point++, u += LANES * PANEL, v += w->v_point, m += w->m_point)
        if (width == 2) point_product(2, 1, w->grid.count, v, w->job->conv.C, steps, u, m);
        else point_product(1, 1, w->grid.count, v, w->job->conv.C, steps, u, m);
}

static void winograd_panel(void *context, int64_t panel, int thread) {
    const winograd_job *w = context;
    const conv_job *job = w->job;
    const int width = panel_width(job, panel);
    const int64_t C = job->conv.C, filter = 9 * LANES;
    REAL *m = (REAL *)(job->run.scratch + thread * job->run.scratch_bytes), *u = m + POINTS * w->m_point;
    memset(m, 0, (size_t)(POINTS * w->m_point) * sizeof(REAL));
    for (int64_t c = 0; c < C; c += LANES) {
        int64_t steps = min64(LANES, C - c);
        for (int i = 0; i < width; i++) {
            const REAL *from = w->filters + ((2 * panel + i) * C + c) * filter;
            for (int64_t n = 0; n < steps; n++, from += filter) {
                for (int64_t line = 0; line < filter; line += 64 / (int64_t)sizeof(REAL))
                    __builtin_prefetch(from + FILTERS_AHEAD * filter + line);
                filter_points(3, 0, from, u + (n * width + i) * LANES, LANES * PANEL);
            }
        }
        winograd_add_products(w, width, steps, u, w->v + c, m);
    }
    winograd_outputs(w, 0, w->grid.count, panel, m);
}

static void winograd_keep_filters(void *context, int64_t vector, int thread) {
    const winograd_job *w = context;
    const conv_problem *conv = &w->job->conv;
    int64_t k = vector * LANES, lanes = min64(LANES, conv->K - k), filter = 9 * LANES;
    REAL *to = w->filters + vector * conv->C * filter;
    (void)thread;
    if (lanes < LANES) memset(to, 0, (size_t)(conv->C * filter) * sizeof(REAL));
    for (int64_t c = 0; c < conv->C; c++, to += filter)
        transpose(lanes, 9, filters_at(&w->job->at, 9, k, c), w->job->at.w_out, to, LANES);
}

/* Plans keep the filters, too, if U takes at least this much. No SPEED value: a plan's weights keep their layout. */
enum { KEPT_BYTES = 8 << 20 };

/* The way, and the layout of V, M and U; C zeros follow U, then the filters. */
INLINE winograd_job winograd_layout(const conv_job *job) {
    const conv_problem *conv = &job->conv;
    winograd_job w = {
        .job = job, .grid = grid_of(conv->N, conv->P, conv->Q, conv->R), .panels = ceil_div(conv->K, PANEL)};
    int64_t tile_bytes = POINTS * conv->C * (int64_t)sizeof(REAL), panel_bytes = tile_bytes * PANEL;
    const int keeps_filters = job->run.use == USED_IN_PLAN && conv->R == 3 && w.panels * panel_bytes >= KEPT_BYTES;
    if (keeps_filters && w.grid.count <= fn_speed.winograd_fewest_tiles) w.way = BY_PANELS;
    else if (w.panels * panel_bytes > fn_speed.winograd_cached_bytes) w.way = BY_POINTS;
    else w.way = w.panels > 1 && w.grid.count <= fn_speed.winograd_few_tiles ? BY_POINTS : BY_BLOCKS;
    if (w.way == BY_PANELS) w.block = w.grid.count;
    else if (w.way == BY_POINTS) w.block = ceil_div(w.grid.count, ceil_div(w.grid.count, fn_speed.winograd_few_tiles));
    else {
        int64_t tiles = fn_speed.winograd_block_bytes / tile_bytes / TILE_ROWS * TILE_ROWS;
        tiles = min64(fn_speed.winograd_block_most, max64(fn_speed.winograd_block_least, tiles));
        w.block = max64(1, min64(tiles, ceil_div(w.grid.count, 2 * job->run.threads)));
    }
    int64_t rows = ceil_div(w.block, TILE_ROWS) * TILE_ROWS;
    if (w.block > TILE_ROWS || w.way == BY_POINTS) w.block = rows;
    w.held_panels = w.panels;
    if (job->run.use == USED_ONCE && w.way == BY_POINTS && w.block >= w.grid.count)
        w.held_panels = min64(w.panels, max64(1, fn_speed.winograd_held_bytes / panel_bytes));
    w.u_point = odd_lines(min64(w.held_panels * PANEL, ceil_div(conv->K, LANES) * LANES) * conv->C);
    w.v_point = odd_lines(rows * conv->C);
    w.m_point = odd_lines(rows * (w.way == BY_POINTS ? w.held_panels * PANEL : panel_width(job, 0) * LANES));
    w.u = job->run.prepared;
    w.zeros = w.u + POINTS * w.u_point;
    if (keeps_filters) w.filters = w.zeros + ceil_div(conv->C, LANES) * LANES;
    return w;
}

static void winograd_measure(conv_job *job) {
    winograd_job w = winograd_layout(job);
    const int64_t size = sizeof(REAL), v = POINTS * w.v_point * size, m = POINTS * w.m_point * size;
    int64_t vectors = ceil_div(job->conv.K, LANES), zeros = ceil_div(job->conv.C, LANES) * LANES;
    job->run.prepared_bytes = (POINTS * w.u_point + zeros + (w.filters ? vectors * LANES * job->conv.C * 9 : 0)) * size;
    job->run.shared_bytes = w.way == BY_BLOCKS ? 0 : w.way == BY_POINTS ? v + m : v;
    job->run.scratch_bytes = w.way == BY_BLOCKS ? v + m : w.way == BY_POINTS ? 0 : m + POINTS * LANES * PANEL * size;
}

static void winograd_held_filters(winograd_job *w) {
    double work = (double)(w->panel_count * w->job->conv.C) * 200;
    fn_parallel_on(w->job->run.threads, 2 * w->panel_count * ceil_div(w->job->conv.C, fn_speed.winograd_filters), work,
                   winograd_filters, w);
}

static void winograd_prepare(conv_job *job) {
    winograd_job w = winograd_layout(job);
    memset(w.zeros, 0, (size_t)job->conv.C * sizeof(REAL));
    w.panel_count = w.panels;
    if (w.held_panels == w.panels) winograd_held_filters(&w);
    if (w.filters)
        fn_parallel_on(job->run.threads, ceil_div(job->conv.K, LANES), (double)job->conv.C * (double)job->conv.K,
                       winograd_keep_filters, &w);
}

/* All products of the current tiles and panels. */
static void winograd_points(winograd_job *w) {
    const conv_job *job = w->job;
    double outputs = POINTS * (double)w->tile_count * (double)(w->panel_count * PANEL) / LANES;
    fn_parallel_on(job->run.threads, POINTS * w->panel_count, outputs * (double)job->conv.C, winograd_point, w);
    fn_parallel_on(job->run.threads, ceil_div(w->tile_count, fn_speed.winograd_outputs) * w->panel_count, 8 * outputs,
                   winograd_shared_outputs, w);
}

/* V of the current tiles. */
static void winograd_current_inputs(winograd_job *w) {
    const conv_job *job = w->job;
    double work = (double)w->tile_count * 8 * POINTS * (double)job->conv.C / LANES;
    fn_parallel_on(job->run.threads, ceil_div(w->tile_count, fn_speed.winograd_inputs), work, winograd_shared_inputs,
                   w);
}

static void winograd_run(conv_job *job) {
    winograd_job w = winograd_layout(job);
    double numbers = POINTS * (double)job->conv.C / LANES; /* of a tile */
    double products = (double)w.grid.count * numbers * (double)job->conv.K;
    if (w.way == BY_BLOCKS) {
        fn_parallel_on(job->run.threads, ceil_div(w.grid.count, w.block), products, winograd_block, &w);
        return;
    }
    w.v = (REAL *)(job->run.scratch + job->run.threads * job->run.scratch_bytes); /* shared */
    w.m = w.v + POINTS * w.v_point;
    if (w.way == BY_PANELS) {
        double filters = 240 * (double)job->conv.C * (double)w.panels;
        w.tile_count = w.grid.count;
        winograd_current_inputs(&w);
        fn_parallel_on(job->run.threads, w.panels, filters + products, winograd_panel, &w);
        return;
    }
    for (w.first_tile = 0; w.first_tile < w.grid.count; w.first_tile += w.block) {
        w.tile_count = min64(w.block, w.grid.count - w.first_tile);
        winograd_current_inputs(&w);
        for (w.first_panel = 0; w.first_panel < w.panels; w.first_panel += w.held_panels) {
            w.panel_count = min64(w.held_panels, w.panels - w.first_panel);
            if (w.held_panels < w.panels) winograd_held_filters(&w);
            winograd_points(&w);
        }
    }
}
