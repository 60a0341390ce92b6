/* Convolution at stride 1 by Winograd: F(4x4, 3x3), with 36 products instead of 144, and F(2x2, 5x5), with 36 instead
 * of 100. Needs conv/winograd_transform.h.
 *
 *   V[point][tile][C] = B^T d B of each tile's 6x6 inputs, vectorised over channels;
 *   M[point][panel][tile][lane] = V[point] U[point][panel], 36 matrix products on the transformed weights;
 *   y = A^T M A, through the epilogue straight into the output.
 *
 * By blocks, a task is a block of tiles, small enough that its V and one panel's M stay in the cache while all of U is
 * read. By points, for few tiles or for weights larger than the cache, all threads share a larger block and a task is a
 * point and a panel, so U is read once per block. If one block holds all tiles and weights are USED_ONCE, U holds a few
 * panels at a time. The input gradient is the same job on dy with flipped weights. Each output depends only on its own
 * tile: the bits do not depend on blocks, threads, or how a batch is split.
 *
 * A tile is a Winograd tile here, unless it is called a register tile.
 *
 * Assumption: the layout of U does not depend on N or the threads unless weights are USED_ONCE.
 */
typedef struct {
    const conv_job *job;
    winograd_grid grid;
    int by_points;
    int64_t block, panels,
        held_panels; /* tiles in a block; panels of outputs, and how many of them U holds at a time */
    int64_t u_point, v_point, m_point; /* strides between points in U, V and M, in elements */
    REAL *u, *zeros;
    REAL *v, *m;
    int64_t first_tile, tile_count, first_panel, panel_count; /* by points: what v and m hold now */
} winograd_job;

/* Taps must be adjacent in memory, in either order (a phase of a strided gradient may read every other tap). In
 * inference, few tiles mean too few rows to amortise reading the weights (measured). */
static int winograd_fits(const conv_job *job) {
    const conv_problem *conv = &job->conv;
    const conv_layout *at = &job->at;
    int fits = conv->R == conv->S && conv->stride_h == 1 && conv->stride_w == 1 && conv->tap_h == 1 &&
               conv->tap_w == 1 && (at->w_tap_w == 1 || at->w_tap_w == -1) && at->w_tap_h == conv->S * at->w_tap_w;
    int of_group = conv->C == GROUP && conv->K == GROUP && at->in_pixel > conv->C; /* direct, as with wider vectors */
    if (of_group || !fits || !choose_winograd(conv->R, conv->C, conv->K, conv->P, conv->Q)) return 0;
    return job->run.use != USED_IN_PLAN || grid_of(conv->N, conv->P, conv->Q, conv->R).count >= WINOGRAD_LEAST_TILES;
}

/* The last panel is one vector wide if that suffices. */
INLINE int panel_width(const conv_job *job, int64_t panel) { return job->conv.K - panel * PANEL > LANES ? 2 : 1; }
INLINE REAL *u_of(const winograd_job *w, int64_t panel) {
    return w->u + panel % w->held_panels * w->job->conv.C * PANEL;
}
INLINE REAL *m_of(const winograd_job *w, int64_t panel) { return w->m + panel % w->held_panels * w->block * PANEL; }

/* U[point][panel][c][lane] = G g G^T for one vector of filters starting at k, taps x taps elements each, and input
 * channels [first, end). */
INLINE void vector_filters(const int taps, const winograd_job *w, int64_t k, int64_t first, int64_t end) {
    const conv_job *job = w->job;
    const int size = taps * taps, last = size - 1;
    int flipped = job->at.w_tap_w < 0;
    int64_t panel = k / PANEL, width = panel_width(job, panel), lanes = min64(LANES, job->conv.K - k),
            vector = k % PANEL;
    int64_t run = job->at.w_in == size ? LANES : 1; /* channels adjacent in memory, read together */
    REAL numbers[LANES * 25 * LANES];
    if (lanes < LANES) memset(numbers, 0, sizeof(numbers));
    for (int64_t c = first; c < end; c += run) {
        int64_t count = min64(run, end - c);
        const REAL *g = job->at.w + c * job->at.w_in + k * job->at.w_out - (flipped ? last : 0);
        if (run == 1)
            for (int64_t i = 0; i < lanes; i++)
                __builtin_prefetch(g + WINOGRAD_AHEAD * job->at.w_in + i * job->at.w_out);
        transpose(lanes, count * size, g, job->at.w_out, numbers, LANES);
        for (int64_t n = 0; n < count; n++) {
            vec half[5][WINOGRAD_TILE], column[5], out[WINOGRAD_TILE];
            UNROLL_FOR (int i = 0; i < taps; i++) {
                UNROLL_FOR (int j = 0; j < taps; j++) {
                    int64_t tap = flipped ? last - i * taps - j : i * taps + j;
                    column[j] = load(numbers + (n * size + tap) * LANES);
                }
                transform_filter(taps, column, half[i]);
            }
            REAL *u = u_of(w, panel) + (c + n) * width * LANES + vector;
            UNROLL_FOR (int j = 0; j < WINOGRAD_TILE; j++) {
                UNROLL_FOR (int i = 0; i < taps; i++) column[i] = half[i][j];
                transform_filter(taps, column, out);
                UNROLL_FOR (int i = 0; i < WINOGRAD_TILE; i++) store(u + (i * WINOGRAD_TILE + j) * w->u_point, out[i]);
            }
        }
    }
}

static void winograd_filters(void *context, int64_t task, int thread) {
    const winograd_job *w = context;
    int64_t vectors = 2 * w->panel_count, k = w->first_panel * PANEL + task % vectors * LANES;
    int64_t first = task / vectors * fn_speed.winograd_filters,
            end = min64(w->job->conv.C, first + fn_speed.winograd_filters);
    (void)thread;
    if (k >= w->job->conv.K) return;
    if (w->job->conv.R == 3) vector_filters(3, w, k, first, end);
    else vector_filters(5, w, k, first, end);
}

/* V of tiles [first, first + count). */
static void winograd_inputs(const winograd_job *w, int64_t first, int64_t count, REAL *v) {
    const conv_job *job = w->job;
    const conv_problem *conv = &job->conv;
    const winograd_image image = {job->at.in,       w->zeros,     conv->H,       conv->W,
                                  job->at.in_pixel, w->grid.side, conv->first_h, conv->first_w};
    winograd_position at = position_of(&w->grid, first);
    winograd_pixels tiles[2]; /* this one, and the next, which is prefetched */
    locate_winograd_tile(WINOGRAD_TILE, &image, at, &tiles[0]);
    for (int64_t t = 0; t < count; t++, v += conv->C) {
        const winograd_pixels *here = &tiles[t & 1], *next = &tiles[~t & 1];
        if (t + 1 < count) at = next_position(&w->grid, at);
        locate_winograd_tile(WINOGRAD_TILE, &image, at, &tiles[~t & 1]);
        int64_t c = 0;
        for (; c < conv->C; c += LANES) {
            if (w->grid.side == 4) prefetch_winograd_tile(WINOGRAD_TILE, 4, next, c);
            else prefetch_winograd_tile(WINOGRAD_TILE, 2, next, c);
            if (c + LANES <= conv->C) winograd_input_tile(here, c, LANES, v + c, w->v_point);
            else winograd_input_tile(here, c, conv->C - c, v + c, w->v_point);
        }
    }
}

/* M of `height` tiles and one point; V's rows have stride `steps`, M's have stride width*LANES. */
INLINE void point_register_tile(const int height, const int width, const REAL *v, int64_t steps, const REAL *u,
                                REAL *m) {
    vec acc[TILE_ROWS][2];
    const REAL *rows[TILE_ROWS];
    UNROLL_FOR (int i = 0; i < height; i++) {
        acc[i][0] = acc[i][1] = (vec){0};
        rows[i] = v + i * steps;
    }
    for (int64_t t = 0; t < steps; t++, u += width * LANES) {
        if (width == 2) {
            __builtin_prefetch(u + ROWS_AHEAD * PANEL);
            __builtin_prefetch(u + ROWS_AHEAD * PANEL + LANES);
        }
        vec u0 = *(const vec *)u, u1 = width == 2 ? *(const vec *)(u + LANES) : u0;
        UNROLL_FOR (int i = 0; i < height; i++) {
            vec value = broadcast(rows[i][t]);
            acc[i][0] += value * u0;
            if (width == 2) acc[i][1] += value * u1;
        }
    }
    UNROLL_FOR (int i = 0; i < height; i++)
        UNROLL_FOR (int j = 0; j < width; j++) store(m + (i * width + j) * LANES, acc[i][j]);
}

/* A store first reads its cache line, so prefetch the lines of one tile's outputs. */
INLINE void prefetch_outputs(const winograd_job *w, int64_t k, winograd_position at) {
    const conv_job *job = w->job;
    int64_t side = job->pooled ? w->grid.side / 2 : w->grid.side;
    REAL *out = job->at.out + at.image * job->at.out_image +
                side * (at.row * job->at.out_row + at.column * job->at.out_pixel) + k;
    for (int64_t i = 0; i < side; i++, out += job->at.out_row)
        for (int64_t j = 0; j < side; j++) __builtin_prefetch(out + j * job->at.out_pixel, 1);
}

/* V and M have room for whole register tiles; results of unfilled rows are never read. */
INLINE void point_product(const int width, int64_t C, int64_t count, const REAL *v, const REAL *u, REAL *m) {
    for (int64_t t = 0; t < count; t += TILE_ROWS, v += TILE_ROWS * C, m += TILE_ROWS * width * LANES) {
        if (count - t > HALF_ROWS) point_register_tile(TILE_ROWS, width, v, C, u, m);
        else if (count - t > LOW_ROWS) point_register_tile(HALF_ROWS, width, v, C, u, m);
        else point_register_tile(LOW_ROWS, width, v, C, u, m);
    }
}

/* M of `count` tiles for one point and one panel; u is the panel, v and m belong to the first tile. */
static __attribute__((noinline)) void winograd_product(const winograd_job *w, int64_t count, int64_t point, int width,
                                                       const REAL *u, const REAL *v, REAL *m) {
    u += point * w->u_point;
    v += point * w->v_point;
    m += point * w->m_point;
    if (width == 2) point_product(2, w->job->conv.C, count, v, u, m);
    else point_product(1, w->job->conv.C, count, v, u, m);
}

/* One vector of channels, starting at k, of a tile's side x side outputs; `rows` x `columns` are inside the image. */
INLINE void winograd_output_tile(const int side, const int pooled, const conv_job *job, const REAL *m, int64_t stride,
                                 int64_t k, int64_t lanes, int64_t rows, int64_t columns, REAL *out) {
    vec y[4][4]; /* [column][row] */
    vec scale = load_per_channel(job->end.scale, k, lanes), shift = load_per_channel(job->end.shift, k, lanes);
    vec slope = load_per_channel(job->end.slopes, k, lanes);
    UNROLL_FOR (int odd = 0; odd < 2; odd++) {
        vec t[WINOGRAD_TILE][4], values[WINOGRAD_TILE];
        UNROLL_FOR (int i = 0; i < WINOGRAD_TILE; i++) {
            UNROLL_FOR (int j = 0; j < WINOGRAD_TILE; j++) values[j] = load(m + (i * WINOGRAD_TILE + j) * stride);
            transform_output(side, odd, values, t[i]);
        }
        UNROLL_FOR (int j = odd; j < side; j += 2) {
            if (!pooled && j >= columns) break;
            UNROLL_FOR (int i = 0; i < WINOGRAD_TILE; i++) values[i] = t[i][j];
            transform_output(side, 0, values, y[j]);
            transform_output(side, 1, values, y[j]);
            REAL *to = out + j * job->at.out_pixel;
            finish_row(side, pooled ? side : rows, &job->end, y[j], scale, shift, slope, to, job->at.out_row, lanes);
            if (pooled) continue;
            UNROLL_FOR (int i = 0; i < side; i++)
                if (i < rows) store_part(to + i * job->at.out_row, y[j][i], lanes);
        }
    }
    if (!pooled) return;
    UNROLL_FOR (int j = 1; j < side; j += 2)
        UNROLL_FOR (int i = 0; i < side; i += 2) {
            vec best = maximum(maximum(maximum(y[j - 1][i], y[j][i]), y[j - 1][i + 1]), y[j][i + 1]);
            if (i < rows && j < columns)
                store_part(out + i / 2 * job->at.out_row + j / 2 * job->at.out_pixel, best, lanes);
        }
}

INLINE void winograd_output_tiles(const int side, const winograd_job *w, int64_t first, int64_t count, int64_t panel,
                                  const REAL *m) {
    const conv_job *job = w->job;
    int width = panel_width(job, panel);
    winograd_position at = position_of(&w->grid, first);
    for (int64_t t = 0; t < count; t++, at = next_position(&w->grid, at)) {
        int64_t rows = min64(side, job->conv.P - side * at.row), columns = min64(side, job->conv.Q - side * at.column);
        int64_t apart = job->pooled ? side / 2 : side;
        REAL *out = job->at.out + at.image * job->at.out_image +
                    apart * (at.row * job->at.out_row + at.column * job->at.out_pixel);
        for (int v = 0; v < width; v++, m += LANES) {
            int64_t k = panel * PANEL + v * LANES, lanes = job->conv.K - k;
            if (job->pooled) winograd_output_tile(side, 1, job, m, w->m_point, k, lanes, rows, columns, out + k);
            else if (rows == side && columns == side && lanes >= LANES)
                winograd_output_tile(side, 0, job, m, w->m_point, k, LANES, side, side, out + k);
            else winograd_output_tile(side, 0, job, m, w->m_point, k, lanes, rows, columns, out + k);
        }
    }
}

static void winograd_outputs(const winograd_job *w, int64_t first, int64_t count, int64_t panel, const REAL *m) {
    if (w->grid.side == 4) winograd_output_tiles(4, w, first, count, panel, m);
    else winograd_output_tiles(2, w, first, count, panel, m);
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

/* The blocks, and the layout of V, M and U; C zeros follow U. */
INLINE winograd_job winograd_layout(const conv_job *job) {
    const conv_problem *conv = &job->conv;
    winograd_job w = {
        .job = job, .grid = grid_of(conv->N, conv->P, conv->Q, conv->R), .panels = ceil_div(conv->K, PANEL)};
    int64_t tile_bytes = POINTS * conv->C * (int64_t)sizeof(REAL), panel_bytes = tile_bytes * PANEL;
    w.by_points = w.panels * panel_bytes > fn_speed.winograd_cached_bytes ||
                  (w.panels > 1 && w.grid.count <= fn_speed.winograd_few_tiles);
    if (w.by_points) w.block = ceil_div(w.grid.count, ceil_div(w.grid.count, fn_speed.winograd_few_tiles));
    else {
        int64_t tiles = fn_speed.winograd_block_bytes / tile_bytes / TILE_ROWS * TILE_ROWS;
        tiles = min64(fn_speed.winograd_block_most, max64(fn_speed.winograd_block_least, tiles));
        w.block = max64(1, min64(tiles, ceil_div(w.grid.count, 2 * job->run.threads)));
    }
    int64_t rows = ceil_div(w.block, TILE_ROWS) * TILE_ROWS;
    if (w.block > TILE_ROWS || w.by_points) w.block = rows;
    w.held_panels = w.panels;
    if (job->run.use == USED_ONCE && w.by_points && w.block >= w.grid.count)
        w.held_panels = min64(w.panels, max64(1, fn_speed.winograd_held_bytes / panel_bytes));
    w.u_point = odd_lines(min64(w.held_panels * PANEL, ceil_div(conv->K, LANES) * LANES) * conv->C);
    w.v_point = odd_lines(rows * conv->C);
    w.m_point = odd_lines(rows * (w.by_points ? w.held_panels * PANEL : panel_width(job, 0) * LANES));
    w.u = job->run.prepared;
    w.zeros = w.u + POINTS * w.u_point;
    return w;
}

static void winograd_measure(conv_job *job) {
    winograd_job w = winograd_layout(job);
    int64_t bytes = POINTS * (w.v_point + w.m_point) * (int64_t)sizeof(REAL);
    job->run.prepared_bytes = (POINTS * w.u_point + job->conv.C) * (int64_t)sizeof(REAL);
    job->run.shared_bytes = w.by_points ? bytes : 0;
    job->run.scratch_bytes = bytes - job->run.shared_bytes;
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
}

/* All products of the current tiles and panels. */
static void winograd_points(winograd_job *w) {
    const conv_job *job = w->job;
    double outputs = POINTS * (double)w->tile_count * (double)(w->panel_count * PANEL) / LANES;
    fn_parallel_on(job->run.threads, POINTS * w->panel_count, outputs * (double)job->conv.C, winograd_point, w);
    fn_parallel_on(job->run.threads, ceil_div(w->tile_count, fn_speed.winograd_outputs) * w->panel_count, 8 * outputs,
                   winograd_shared_outputs, w);
}

static void winograd_run(conv_job *job) {
    winograd_job w = winograd_layout(job);
    double numbers = POINTS * (double)job->conv.C / LANES; /* of a tile */
    if (!w.by_points) {
        fn_parallel_on(job->run.threads, ceil_div(w.grid.count, w.block),
                       (double)w.grid.count * numbers * (double)job->conv.K, winograd_block, &w);
        return;
    }
    w.v = (REAL *)job->run.scratch;
    w.m = w.v + POINTS * w.v_point;
    for (w.first_tile = 0; w.first_tile < w.grid.count; w.first_tile += w.block) {
        w.tile_count = min64(w.block, w.grid.count - w.first_tile);
        fn_parallel_on(job->run.threads, ceil_div(w.tile_count, fn_speed.winograd_inputs),
                       (double)w.tile_count * 8 * numbers, winograd_shared_inputs, &w);
        for (w.first_panel = 0; w.first_panel < w.panels; w.first_panel += w.held_panels) {
            w.panel_count = min64(w.held_panels, w.panels - w.first_panel);
            if (w.held_panels < w.panels) winograd_held_filters(&w);
            winograd_points(&w);
        }
    }
}
