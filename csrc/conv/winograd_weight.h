/* The weight gradient of a 3x3 (5x5), stride 1 convolution by Winograd F(3x3, 4x4) or F(5x5, 2x2): a tile's 4x4 (2x2)
 * pixels of dy are the filter that slides over its 6x6 pixels of x. Tiles are processed in chunks:
 *   V[point][tile][C] = B^T x B    and    D[point][panel][tile][lane] = G dy G^T,
 * whose products over the chunk are added to Z[point][C][K].  At the end dw = A^T Z A.
 *
 * With few channels, Z is small and transforms cost more than products: the batch is split into a fixed number of
 * parts, each with its own Z, V and D in one thread's cache, and the parts are added in a fixed tree. With many
 * channels, there is one Z, and all threads work on one chunk at a time, first its transforms, then its products; each
 * element of Z has one owner. If one chunk holds all tiles, Z and dw are computed a few panels at a time, so that Z
 * stays in the cache.
 */
typedef struct {
    weight_gradient of;
    REAL *z, *zeros;
    winograd_grid grid;
    int64_t chunk, images_per_chunk, parts, panels; /* tiles in a chunk; images that fill one; parts of the batch */
    int64_t held_panels, columns; /* panels that Z holds at a time, and the length of a row */
    int64_t v_point, d_point, z_point; /* elements from one point to the next */
    REAL *v, *d; /* of thread 0; with parts, those of other threads follow at distance chunk_size */
    int64_t chunk_size;
    int64_t first_tile, tile_count, first_panel, panel_count; /* without parts: of the chunk that all threads work on */
} winograd_weight_job;

INLINE void winograd_gradient_tile(const int side, const winograd_pixels *tile, int64_t k, int64_t lanes, REAL *d,
                                   int64_t stride) {
    vec t[4][WINOGRAD_TILE], dy[4], out[WINOGRAD_TILE];
    UNROLL_FOR (int i = 0; i < side; i++) {
        UNROLL_FOR (int j = 0; j < side; j++) dy[j] = load_part(pixel_of(tile, i, j) + k, lanes);
        transform_filter(side, dy, t[i]);
    }
    UNROLL_FOR (int j = 0; j < WINOGRAD_TILE; j++) {
        UNROLL_FOR (int i = 0; i < side; i++) dy[i] = t[i][j];
        transform_filter(side, dy, out);
        UNROLL_FOR (int i = 0; i < WINOGRAD_TILE; i++) store(d + (i * WINOGRAD_TILE + j) * stride, out[i]);
    }
}

/* V and D of tiles [first + from, first + to), to rows [from, to) of a chunk. */
INLINE void winograd_gradient_tiles(const int side, const winograd_weight_job *w, int64_t first, int64_t from,
                                    int64_t to, REAL *v, REAL *d) {
    const conv_problem *conv = &w->of.conv;
    const winograd_image x = {w->of.x, w->zeros, conv->H, conv->W, conv->C, side, conv->first_h, conv->first_w};
    const winograd_image dy = {w->of.dy, w->zeros, conv->P, conv->Q, conv->K, side, 0, 0};
    winograd_position at = position_of(&w->grid, first + from);
    winograd_pixels pixels[2], gradients[2]; /* of this tile, and of the next, which is prefetched */
    locate_winograd_tile(WINOGRAD_TILE, &x, at, &pixels[0]);
    locate_winograd_tile(side, &dy, at, &gradients[0]);
    for (int64_t t = from; t < to; t++) {
        int now = (t - from) & 1;
        int64_t c = 0, k = 0;
        if (t + 1 < to) at = next_position(&w->grid, at);
        locate_winograd_tile(WINOGRAD_TILE, &x, at, &pixels[!now]);
        locate_winograd_tile(side, &dy, at, &gradients[!now]);
        for (; c < conv->C; c += LANES) {
            prefetch_winograd_tile(WINOGRAD_TILE, side, &pixels[!now], c);
            if (c + LANES <= conv->C) winograd_input_tile(&pixels[now], c, LANES, v + t * conv->C + c, w->v_point);
            else winograd_input_tile(&pixels[now], c, conv->C - c, v + t * conv->C + c, w->v_point);
        }
        for (; k < conv->K; k += LANES) {
            REAL *to_d = d + (k / PANEL * w->chunk + t) * PANEL + k % PANEL;
            prefetch_winograd_tile(side, side, &gradients[!now], k);
            if (k + LANES <= conv->K) winograd_gradient_tile(side, &gradients[now], k, LANES, to_d, w->d_point);
            else winograd_gradient_tile(side, &gradients[now], k, conv->K - k, to_d, w->d_point);
        }
    }
}

static void winograd_weight_tiles(const winograd_weight_job *w, int64_t first, int64_t from, int64_t to, REAL *v,
                                  REAL *d) {
    if (w->grid.side == 4) winograd_gradient_tiles(4, w, first, from, to, v, d);
    else winograd_gradient_tiles(2, w, first, from, to, v, d);
}

/* Z[point][all c][one panel] (+)= the products over a chunk of `count` tiles. */
static void winograd_weight_products(const winograd_weight_job *w, int64_t point, int64_t panel, int64_t count,
                                     int accumulate, const REAL *v, const REAL *d, REAL *z) {
    int64_t C = w->of.conv.C;
    const int64_t start = 0;
    segments along = {1, count, &start};
    epilogue add = {.add = accumulate ? z : NULL, .out = z};
    tile_store end = {&add, 0, min64(PANEL, w->of.conv.K - panel * PANEL), LIVE};
    for (int64_t c = 0, tiles = ceil_div(C, TILE_ROWS), live; tiles > 0; c += live, tiles--) {
        live = ceil_div(C - c, tiles); /* even heights: low tiles stall on their sums */
        REAL *outs[TILE_ROWS];
        for (int i = 0; i < live; i++)
            outs[i] = z + point * w->z_point + (c + i) * w->columns + panel % w->held_panels * PANEL;
        column_tile((int)live, v + point * w->v_point + c, C, along, d + point * w->d_point + panel * w->chunk * PANEL,
                    outs, end);
    }
}

/* Add the products of images [first, first + count) and their gradient `dy` to a part's Z; `fresh`: overwrite Z. */
static void winograd_weight_images(const winograd_weight_job *whole, int64_t first, int64_t count, const REAL *dy,
                                   int fresh, int64_t part, int thread) {
    winograd_weight_job w = *whole;
    REAL *v = w.v + thread * w.chunk_size, *d = w.d + thread * w.chunk_size, *z = w.z + part * POINTS * w.z_point;
    w.of.x += first * w.of.conv.H * w.of.conv.W * w.of.conv.C;
    w.of.dy = dy;
    w.grid = grid_of(count, w.of.conv.P, w.of.conv.Q, w.of.conv.R);
    for (int64_t tile = 0; tile < w.grid.count; tile += w.chunk) {
        int64_t tiles = min64(w.chunk, w.grid.count - tile);
        winograd_weight_tiles(&w, tile, 0, tiles, v, d);
        for (int64_t point = 0; point < POINTS; point++)
            for (int64_t panel = 0; panel < w.panels; panel++)
                winograd_weight_products(&w, point, panel, tiles, !fresh || tile > 0, v, d, z);
    }
}

static void winograd_weight_part(void *context, int64_t part, int thread) {
    const winograd_weight_job *w = context;
    int64_t begin = w->of.conv.N * part / w->parts, end = w->of.conv.N * (part + 1) / w->parts,
            image_size = w->of.conv.P * w->of.conv.Q * w->of.conv.K;
    for (int64_t n = begin; n < end; n += w->images_per_chunk)
        winograd_weight_images(w, n, min64(w->images_per_chunk, end - n), w->of.dy + n * image_size, n == begin, part,
                               thread);
}

static void winograd_weight_shared_tiles(void *context, int64_t task, int thread) {
    const winograd_weight_job *w = context;
    (void)thread;
    winograd_weight_tiles(w, w->first_tile, task * fn_speed.winograd_gradients,
                          min64((task + 1) * fn_speed.winograd_gradients, w->tile_count), w->v, w->d);
}

static void winograd_weight_shared_products(void *context, int64_t task, int thread) {
    const winograd_weight_job *w = context;
    (void)thread;
    winograd_weight_products(w, task / w->panel_count, w->first_panel + task % w->panel_count, w->tile_count,
                             w->first_tile > 0, w->v, w->d, w->z);
}

/* A^T Z A of one vector of filters, starting at k, and input channels [c, end). */
INLINE void weight_output(const int taps, const winograd_weight_job *w, int64_t k, int64_t c, int64_t end) {
    const int size = taps * taps;
    const REAL *z = w->z + c * w->columns + k - w->first_panel * PANEL;
    REAL numbers[LANES * 25 * LANES], *dw = w->of.dw + (k * w->of.conv.C + c) * size;
    while (c < end) {
        int64_t count = min64(LANES, end - c); /* as many channels are adjacent in dw */
        for (int64_t n = 0; n < count; n++, z += w->columns) {
            vec t[WINOGRAD_TILE][5], m[WINOGRAD_TILE], out[5];
            UNROLL_FOR (int i = 0; i < WINOGRAD_TILE; i++) {
                UNROLL_FOR (int j = 0; j < WINOGRAD_TILE; j++) {
                    const REAL *from = z + (i * WINOGRAD_TILE + j) * w->z_point;
                    __builtin_prefetch(from + WINOGRAD_AHEAD * w->columns);
                    m[j] = load(from);
                }
                transform_output(taps, 0, m, t[i]);
                transform_output(taps, 1, m, t[i]);
            }
            UNROLL_FOR (int j = 0; j < taps; j++) {
                UNROLL_FOR (int i = 0; i < WINOGRAD_TILE; i++) m[i] = t[i][j];
                transform_output(taps, 0, m, out);
                transform_output(taps, 1, m, out);
                UNROLL_FOR (int i = 0; i < taps; i++) store(numbers + (n * size + taps * i + j) * LANES, out[i]);
            }
        }
        transpose(count * size, min64(LANES, w->of.conv.K - k), numbers, LANES, dw, w->of.conv.C * size);
        c += count;
        dw += count * size;
    }
}

static void winograd_weight_output(void *context, int64_t task, int thread) {
    const winograd_weight_job *w = context;
    int64_t vectors = w->panel_count * 2, k = w->first_panel * PANEL + task % vectors * LANES;
    int64_t first = task / vectors * fn_speed.winograd_filters,
            end = min64(w->of.conv.C, first + fn_speed.winograd_filters);
    (void)thread;
    if (k >= w->of.conv.K) return;
    if (w->of.conv.R == 3) weight_output(3, w, k, first, end);
    else weight_output(5, w, k, first, end);
}

/* Whether F(3x3, 4x4) or F(5x5, 2x2) applies: at stride 1, without groups. */
static int winograd_weight_fits(const weight_gradient *of) {
    const conv_problem *conv = &of->conv;
    int fits = conv->R == conv->S && conv->stride_h == 1 && conv->stride_w == 1 && conv->tap_h == 1 && conv->tap_w == 1;
    int ungrouped = !conv->group && of->x_pixel == conv->C && of->dy_pixel == conv->K;
    return fits && ungrouped && choose_winograd(conv->R, conv->C, conv->K, conv->P, conv->Q);
}

/* The number of parts of the batch; 1: all threads work on one sum. */
INLINE int64_t winograd_weight_parts(const conv_problem *conv) {
    int in_parts = conv->C * conv->K <= WINOGRAD_PART_CHANNELS && conv->N >= WINOGRAD_PARTS / 2;
    return in_parts ? min64(WINOGRAD_PARTS, conv->N) : 1;
}

/* Set the sizes and allocate w.v, which the caller frees. */
static fn_status winograd_weight_begin(const weight_gradient *of, winograd_weight_job *job) {
    const conv_problem *conv = &of->conv;
    int64_t C = conv->C, K = conv->K;
    winograd_weight_job w = {.of = *of, .grid = grid_of(conv->N, conv->P, conv->Q, conv->R)};
    w.panels = w.held_panels = ceil_div(K, PANEL);
    /* Parts and chunks set the order of summation: they depend on the shape alone. */
    int64_t row_bytes = POINTS * (int64_t)sizeof(REAL), tile_bytes = row_bytes * (C + K);
    w.parts = winograd_weight_parts(conv);
    if (w.parts > 1)
        w.chunk = max64(WINOGRAD_PART_LEAST_TILES, min64(WINOGRAD_PART_MOST_TILES, WINOGRAD_PART_BYTES / tile_bytes));
    else { /* each chunk reads and writes all of Z; with one chunk, Z need not exist as a whole */
        int64_t bytes = max64(WINOGRAD_CHUNK_LEAST_BYTES, min64(WINOGRAD_CHUNK_MOST_BYTES, 2 * row_bytes * C * K));
        int64_t most = max64(WINOGRAD_CHUNK_LEAST_TILES, min64(WINOGRAD_CHUNK_MOST_TILES, bytes / tile_bytes));
        w.chunk = ceil_div(w.grid.count, ceil_div(w.grid.count, most));
        if (w.chunk >= w.grid.count)
            w.held_panels = min64(w.panels, max64(1, fn_speed.winograd_held_bytes / (row_bytes * C * PANEL)));
    }
    w.columns = w.held_panels * PANEL;
    w.images_per_chunk = max64(1, w.chunk / (w.grid.down * w.grid.across));
    w.v_point = odd_lines(w.chunk * C);
    w.d_point = odd_lines(w.panels * w.chunk * PANEL);
    w.z_point = odd_lines(C * w.columns);
    w.chunk_size = POINTS * (w.v_point + w.d_point);
    int64_t chunks = w.parts > 1 ? of->threads : 1, zeros = max64(C, K);
    w.v = fn_alloc((size_t)(chunks * w.chunk_size + w.parts * POINTS * w.z_point + zeros) * sizeof(REAL), FN_SCRATCH);
    if (!w.v) return FN_NO_MEMORY;
    w.d = w.v + POINTS * w.v_point;
    w.z = w.v + chunks * w.chunk_size;
    w.zeros = w.z + w.parts * POINTS * w.z_point;
    memset(w.zeros, 0, (size_t)zeros * sizeof(REAL));
    *job = w;
    return FN_OK;
}

/* dw of the current panels. */
static void winograd_weight_outputs(winograd_weight_job *w) {
    int64_t C = w->of.conv.C, tasks = w->panel_count * 2 * ceil_div(C, fn_speed.winograd_filters);
    fn_parallel_on(w->of.threads, tasks, (double)(C * w->panel_count * PANEL) * 100 / LANES, winograd_weight_output, w);
}

static void winograd_weight_end(winograd_weight_job *w) {
    sum_parts(w->of.threads, w->parts, POINTS * w->z_point, w->z);
    w->first_panel = 0;
    w->panel_count = w->panels;
    winograd_weight_outputs(w);
}

static fn_status winograd_weight_run(const weight_gradient *of) {
    int64_t C = of->conv.C, K = of->conv.K;
    winograd_weight_job w;
    if (winograd_weight_begin(of, &w) != FN_OK) return FN_NO_MEMORY;
    double work = POINTS * (double)(C + K) / LANES, products = work * (double)min64(C, K); /* of a tile */
    if (w.parts > 1) {
        fn_parallel_on(of->threads, w.parts, (double)w.grid.count * products, winograd_weight_part, &w);
        winograd_weight_end(&w);
    } else
        for (w.first_tile = 0; w.first_tile < w.grid.count; w.first_tile += w.chunk) {
            w.tile_count = min64(w.chunk, w.grid.count - w.first_tile);
            fn_parallel_on(of->threads, ceil_div(w.tile_count, fn_speed.winograd_gradients),
                           4 * (double)w.tile_count * work, winograd_weight_shared_tiles, &w);
            for (w.first_panel = 0; w.first_panel < w.panels; w.first_panel += w.held_panels) {
                w.panel_count = min64(w.held_panels, w.panels - w.first_panel);
                fn_parallel_on(of->threads, POINTS * w.panel_count, (double)w.tile_count * products,
                               winograd_weight_shared_products, &w);
                if (w.first_tile + w.tile_count == w.grid.count) winograd_weight_outputs(&w);
            }
        }
    fn_free(w.v);
    return FN_OK;
}
