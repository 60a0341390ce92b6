/* The stages of a convolution by Winograd: F(4x4, 3x3), with 36 products instead of 144, and F(2x2, 5x5), with 36
 * instead of 100. Needs conv/winograd_transform.h.
 *
 *   V[point][tile][C] = B^T d B of each tile's 6x6 inputs, vectorised over channels;
 *   M[point][panel][tile][lane] = V[point] U[point][panel], 36 matrix products on the transformed weights;
 *   y = A^T M A, through the epilogue straight into the output.
 *
 * The input gradient is the same job on dy with flipped weights. Each output depends only on its own tile.
 *
 * A tile is a Winograd tile here, unless it is called a register tile.
 */
typedef enum { BY_BLOCKS, BY_POINTS, BY_PANELS } winograd_way; /* how the work is divided: conv/winograd_run.h */

typedef struct {
    const conv_job *job;
    winograd_grid grid;
    winograd_way way;
    int64_t block, panels,
        held_panels; /* tiles in a block; panels of outputs, and how many of them U holds at a time */
    int64_t u_point, v_point, m_point; /* strides between points in U, V and M, in elements */
    REAL *u, *zeros;
    REAL *filters; /* [vector][c][tap][lane], or NULL if they are not kept */
    REAL *v, *m;
    int64_t first_tile, tile_count, first_panel, panel_count; /* by points: what v and m hold now */
} winograd_job;

/* The last panel is one vector wide if that suffices. */
INLINE int panel_width(const conv_job *job, int64_t panel) { return job->conv.K - panel * PANEL > LANES ? 2 : 1; }
INLINE REAL *u_of(const winograd_job *w, int64_t panel) {
    return w->u + panel % w->held_panels * w->job->conv.C * PANEL;
}
INLINE REAL *m_of(const winograd_job *w, int64_t panel) { return w->m + panel % w->held_panels * w->block * PANEL; }

/* G g G^T of one vector of filters at one input channel, to u[point * stride]. `taps` x `taps` vectors of numbers;
 * flipped: the last comes first. */
INLINE void filter_points(const int taps, const int flipped, const REAL *numbers, REAL *u, int64_t stride) {
    const int last = taps * taps - 1;
    vec half[5][WINOGRAD_TILE], column[5], out[WINOGRAD_TILE];
    UNROLL_FOR (int i = 0; i < taps; i++) {
        UNROLL_FOR (int j = 0; j < taps; j++) {
            int64_t tap = flipped ? last - i * taps - j : i * taps + j;
            column[j] = load(numbers + tap * LANES);
        }
        transform_filter(taps, column, half[i]);
    }
    UNROLL_FOR (int j = 0; j < WINOGRAD_TILE; j++) {
        UNROLL_FOR (int i = 0; i < taps; i++) column[i] = half[i][j];
        transform_filter(taps, column, out);
        UNROLL_FOR (int i = 0; i < WINOGRAD_TILE; i++) store(u + (i * WINOGRAD_TILE + j) * stride, out[i]);
    }
}

/* The taps of one vector of filters, starting at k, at input channel c; they may be flipped. */
INLINE const REAL *filters_at(const conv_layout *at, const int size, int64_t k, int64_t c) {
    return at->w + c * at->w_in + k * at->w_out - (at->w_tap_w < 0 ? size - 1 : 0);
}

/* U[point][panel][c][lane] of one vector of filters starting at k, and input channels [first, end). */
INLINE void vector_filters(const int taps, const winograd_job *w, int64_t k, int64_t first, int64_t end) {
    const conv_job *job = w->job;
    const int size = taps * taps;
    int64_t panel = k / PANEL, width = panel_width(job, panel), lanes = min64(LANES, job->conv.K - k),
            vector = k % PANEL;
    int64_t run = job->at.w_in == size ? LANES : 1; /* channels adjacent in memory, read together */
    REAL numbers[LANES * 25 * LANES];
    if (lanes < LANES) memset(numbers, 0, sizeof(numbers));
    for (int64_t c = first; c < end; c += run) {
        int64_t count = min64(run, end - c);
        const REAL *g = filters_at(&job->at, size, k, c);
        if (run == 1)
            for (int64_t i = 0; i < lanes; i++)
                __builtin_prefetch(g + WINOGRAD_AHEAD * job->at.w_in + i * job->at.w_out);
        transpose(lanes, count * size, g, job->at.w_out, numbers, LANES);
        for (int64_t n = 0; n < count; n++)
            filter_points(taps, job->at.w_tap_w < 0, numbers + n * size * LANES,
                          u_of(w, panel) + (c + n) * width * LANES + vector, w->u_point);
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

/* M of `height` tiles and one point. V's rows are `row` apart, M's width * LANES. add: M holds sums already, and u is
 * in the cache. */
INLINE void point_register_tile(const int height, const int width, const int add, const REAL *v, int64_t row,
                                int64_t steps, const REAL *u, REAL *m) {
    vec acc[TILE_ROWS][2];
    const REAL *rows[TILE_ROWS];
    UNROLL_FOR (int i = 0; i < height; i++) {
        UNROLL_FOR (int j = 0; j < width; j++) acc[i][j] = add ? load(m + (i * width + j) * LANES) : (vec){0};
        rows[i] = v + i * row;
    }
    for (int64_t t = 0; t < steps; t++, u += width * LANES) {
        if (width == 2 && !add) {
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
INLINE void point_product(const int width, const int add, int64_t count, const REAL *v, int64_t row, int64_t steps,
                          const REAL *u, REAL *m) {
    for (int64_t t = 0; t < count; t += TILE_ROWS, v += TILE_ROWS * row, m += TILE_ROWS * width * LANES) {
        if (count - t > HALF_ROWS) point_register_tile(TILE_ROWS, width, add, v, row, steps, u, m);
        else if (count - t > LOW_ROWS) point_register_tile(HALF_ROWS, width, add, v, row, steps, u, m);
        else point_register_tile(LOW_ROWS, width, add, v, row, steps, u, m);
    }
}

/* M of `count` tiles for one point and one panel; u is the panel, v and m belong to the first tile. */
static __attribute__((noinline)) void winograd_product(const winograd_job *w, int64_t count, int64_t point, int width,
                                                       const REAL *u, const REAL *v, REAL *m) {
    u += point * w->u_point;
    v += point * w->v_point;
    m += point * w->m_point;
    const int64_t C = w->job->conv.C;
    if (width == 2) point_product(2, 0, count, v, C, C, u, m);
    else point_product(1, 0, count, v, C, C, u, m);
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
