/* The register tile, the innermost kernel of every matrix product and convolution, and the panels that it reads. Needs
 * micro/epilogue.h and simd/transpose.h.
 *
 * A tile is TILE_ROWS x PANEL outputs held in registers, PANEL = 2 vectors.  Operand B comes in panels: for each step t
 * of the reduction, PANEL consecutive elements B[t][0..PANEL).  Operand A is read in place, broadcasting one element
 * per row and step:
 *
 *   rows    (row_tiles):   a row is wherever rows[i] points; step t reads rows[i][segment + t]
 *   columns (column_tile): step t reads the TILE_ROWS neighbours at base[segment + t*stride + i], or half as many in
 *                          each of two rows; column_tile_over reads B in place, too
 *
 * A reduction is split into equal segments (a filter row, say) at offsets[] from the same pointers. Each output is one
 * chain of FMAs in the order of t, whatever the tile's size, so every ISA and thread gives the same bits.
 *
 * Assumptions: panels are aligned to vectors; rows of A and outputs need no alignment; 1 <= height <= TILE_ROWS.
 * Prefetches may reach outside the arrays.
 */
enum { PANEL = 2 * LANES };

typedef struct {
    int64_t count, length; /* segments, and steps in each */
    const int64_t *offsets;
} segments;

/* acc += B-panel product of `height` rows and `width` vectors. */
INLINE void row_product(const int height, const int width, vec acc[][2], const REAL *const *rows, segments along,
                        const REAL *b) {
    for (int64_t segment = 0; segment < along.count; segment++) {
        const REAL *a[TILE_ROWS];
        UNROLL_FOR (int i = 0; i < height; i++) a[i] = rows[i] + along.offsets[segment] + along.length;
        for (int64_t t = -along.length; t < 0; t++) { /* counts up to zero: no register is left for the bound */
            vec b0 = *(const vec *)b, b1 = width == 2 ? *(const vec *)(b + LANES) : b0;
            if (width == 2) {
                __builtin_prefetch(b + ROWS_AHEAD * PANEL);
                __builtin_prefetch(b + ROWS_AHEAD * PANEL + LANES);
            }
            UNROLL_FOR (int i = 0; i < height; i++) {
                vec value = broadcast(a[i][t]);
                acc[i][0] += value * b0;
                if (width == 2) acc[i][1] += value * b1;
            }
            b += PANEL;
        }
    }
}

/* Operand A by columns: neighbours at base and, with two rows, as many at base + row_stride. */
typedef struct {
    const REAL *base;
    int64_t stride, row_stride;
    int rows;
} column_operand;

/* Operand B, packed or not, and an address to prefetch from, one cache line per step. */
typedef struct {
    const REAL *b;
    int64_t stride;
    const char *soon;
    int64_t soon_stride; /* bytes */
} panel_operand;

/* packed: of.b is a packed panel, and A is prefetched instead. */
INLINE void column_product(const int height, const int rows, const int width, vec acc[][2], column_operand from,
                           segments along, const int packed, panel_operand of) {
    const int run = height / rows;
    for (int64_t segment = 0; segment < along.count; segment++) {
        const REAL *a = from.base + along.offsets[segment];
        for (int64_t t = 0; t < along.length; t++) {
            vec b0 = load(of.b), b1 = width == 2 ? load(of.b + LANES) : b0;
            if (!packed) __builtin_prefetch(of.soon);
            else __builtin_prefetch(a + COLUMNS_AHEAD * from.stride);
            UNROLL_FOR (int i = 0; i < height; i++) {
                vec value = broadcast(i < run ? a[i] : a[from.row_stride + i - run]);
                acc[i][0] += value * b0;
                if (width == 2) acc[i][1] += value * b1;
            }
            a += from.stride;
            of.b += packed ? PANEL : of.stride;
            if (!packed) of.soon += of.soon_stride;
        }
    }
}

/* The destination of a tile: channels [first, first + columns) of each row, columns <= PANEL, through an epilogue.
 * WHOLE: lanes beyond `columns` may be overwritten, since the outputs there are stored later.
 * AROUND: columns are whole vectors, stored past the caches (see is_large). */
enum { LIVE, WHOLE, AROUND };

typedef struct {
    const epilogue *end;
    int64_t first, columns;
    int stores;
} tile_store;

/* Add, activate and store rows whose last vector is partial, or whose activation runs apart. Not inlined: one copy
 * serves all heights, and would otherwise be most of a tile's code. */
static __attribute__((noinline)) void tile_edge(int height, int width, vec out[][2], REAL *const *c, tile_store end) {
    const epilogue e = *end.end;
    for (int i = 0; i < height; i++) {
        for (int v = 0; v < width; v++) {
            const int64_t first = end.first + v * LANES, lanes = end.columns - v * LANES;
            const REAL *to = c[i] + first;
            if (e.add) out[i][v] += load_part(e.add + (to - e.out), lanes);
            if (e.before) store_part(e.before + (to - e.out), out[i][v], lanes);
            if (e.slopes) out[i][v] = bend(out[i][v], load_part(e.slopes + first, lanes));
            else if (is_short(e.activation)) out[i][v] = activate_shortly(&e, out[i][v]);
        }
        REAL *values = (REAL *)out[i];
        if (!is_short(e.activation) && !e.slopes)
            maps[e.activation - 1].values(width * LANES, e.a, e.b, values, values, values);
        for (int v = 0; v < width; v++) store_part(c[i] + end.first + v * LANES, out[i][v], end.columns - v * LANES);
    }
}

INLINE void tile_end(const int height, const int width, vec acc[][2], REAL *const *c, tile_store end) {
    const epilogue e = *end.end;
    vec scale[2], shift[2];
    UNROLL_FOR (int v = 0; v < width; v++) {
        int64_t lanes = end.columns - v * LANES;
        scale[v] = load_per_channel(e.scale, end.first + v * LANES, lanes);
        shift[v] = load_per_channel(e.shift, end.first + v * LANES, lanes);
    }
    if (e.scale)
        UNROLL_FOR (int i = 0; i < height; i++)
            UNROLL_FOR (int v = 0; v < width; v++) acc[i][v] = multiply_add(acc[i][v], scale[v], shift[v]);
    else if (e.shift)
        UNROLL_FOR (int i = 0; i < height; i++)
            UNROLL_FOR (int v = 0; v < width; v++) acc[i][v] += shift[v];
    if ((end.columns < width * LANES && end.stores != WHOLE) || e.apart) {
        vec out[TILE_ROWS][2]; /* keeps acc in registers */
        UNROLL_FOR (int i = 0; i < height; i++)
            UNROLL_FOR (int v = 0; v < width; v++) out[i][v] = acc[i][v];
        tile_edge(height, width, out, c, end);
        return;
    }
    if (e.add)
        UNROLL_FOR (int i = 0; i < height; i++) {
            const REAL *add = e.add + (c[i] + end.first - e.out);
            UNROLL_FOR (int v = 0; v < width; v++) acc[i][v] += load(add + v * LANES);
        }
    if (e.activation != FN_NO_ACTIVATION)
        UNROLL_FOR (int i = 0; i < height; i++)
            UNROLL_FOR (int v = 0; v < width; v++) acc[i][v] = activate_shortly(&e, acc[i][v]);
    if (end.stores == AROUND)
        UNROLL_FOR (int i = 0; i < height; i++)
            UNROLL_FOR (int v = 0; v < width; v++) store_around(c[i] + end.first + v * LANES, acc[i][v]);
    else
        UNROLL_FOR (int i = 0; i < height; i++)
            UNROLL_FOR (int v = 0; v < width; v++) store(c[i] + end.first + v * LANES, acc[i][v]);
}

INLINE void row_tile_sized(const int height, const int width, const REAL *const *rows, segments along, const REAL *b,
                           REAL *const *c, tile_store end) {
    vec acc[TILE_ROWS][2];
    UNROLL_FOR (int i = 0; i < height; i++) acc[i][0] = acc[i][1] = (vec){0};
    row_product(height, width, acc, rows, along, b);
    tile_end(height, width, acc, c, end);
}

INLINE void column_tile_sized(const int height, const int rows, const int width, column_operand from, segments along,
                              const int packed, panel_operand of, REAL *const *c, tile_store end) {
    vec acc[TILE_ROWS][2];
    UNROLL_FOR (int i = 0; i < height; i++) acc[i][0] = acc[i][1] = (vec){0};
    column_product(height, rows, width, acc, from, along, packed, of);
    tile_end(height, width, acc, c, end);
}

enum { HALF_ROWS = (TILE_ROWS + 1) / 2, LOW_ROWS = (TILE_ROWS + 5) / 6 };

/* Every height has its own specialised tile: few rows cost little, and no rows beyond them are read. HALF_HEIGHTS:
 * heights of which two fit in a tile. */
// clang-format off
#if TILE_ROWS == 12
#define HALF_HEIGHTS(HEIGHT) HEIGHT(1) HEIGHT(2) HEIGHT(3) HEIGHT(4) HEIGHT(5) HEIGHT(6)
#define LOWER_HEIGHTS(HEIGHT) HALF_HEIGHTS(HEIGHT) HEIGHT(7) HEIGHT(8) HEIGHT(9) HEIGHT(10) HEIGHT(11)
#elif TILE_ROWS == 8
#define HALF_HEIGHTS(HEIGHT) HEIGHT(1) HEIGHT(2) HEIGHT(3) HEIGHT(4)
#define LOWER_HEIGHTS(HEIGHT) HALF_HEIGHTS(HEIGHT) HEIGHT(5) HEIGHT(6) HEIGHT(7)
#elif TILE_ROWS == 6
#define HALF_HEIGHTS(HEIGHT) HEIGHT(1) HEIGHT(2) HEIGHT(3)
#define LOWER_HEIGHTS(HEIGHT) HALF_HEIGHTS(HEIGHT) HEIGHT(4) HEIGHT(5)
#elif TILE_ROWS == 4
#define HALF_HEIGHTS(HEIGHT) HEIGHT(1) HEIGHT(2)
#define LOWER_HEIGHTS(HEIGHT) HALF_HEIGHTS(HEIGHT) HEIGHT(3)
#else
#error "TILE_ROWS: list the heights of its tiles here"
#endif
#define HEIGHTS(HEIGHT) LOWER_HEIGHTS(HEIGHT) HEIGHT(TILE_ROWS)
// clang-format on

/* What to prefetch at each tile: of the rows `distance` later, the first `steps` elements, and the outputs. */
typedef struct {
    int64_t distance, steps;
    int outputs;
} tile_ahead;

INLINE void prefetch_rows(tile_ahead soon, const REAL *const *rows, REAL *const *c, int64_t first) {
    if (soon.outputs)
        UNROLL_FOR (int i = 0; i < TILE_ROWS; i++) {
            __builtin_prefetch(c[i] + first, 1);
            __builtin_prefetch(c[i] + first + LANES, 1);
        }
    if (soon.steps)
        for (int i = 0; i < TILE_ROWS; i++)
            for (int64_t t = 0; t < soon.steps; t += 64 / (int64_t)sizeof(REAL)) __builtin_prefetch(rows[i] + t);
}

/* Any number of rows, a tile at a time. */
static __attribute__((noinline)) void row_tiles(int64_t count, const REAL *const *rows, segments along, const REAL *b,
                                                REAL *const *c, tile_store end, tile_ahead soon) {
#define ROW_HEIGHT(height) \
    case height: row_tile_sized(height, 2, rows, along, b, c, end); break;
#define LOW_ROW_HEIGHT(height) \
    case height: row_tile_sized(height, 1, rows, along, b, c, end); break;
    for (; count > 0; count -= TILE_ROWS, rows += TILE_ROWS, c += TILE_ROWS) {
        if (count >= soon.distance + TILE_ROWS) prefetch_rows(soon, rows + soon.distance, c + soon.distance, end.first);
        if (count >= TILE_ROWS && end.columns > LANES) row_tile_sized(TILE_ROWS, 2, rows, along, b, c, end);
        else if (end.columns > LANES) switch (count) {
                LOWER_HEIGHTS(ROW_HEIGHT)
            }
        else switch (min64(count, TILE_ROWS)) {
                HEIGHTS(LOW_ROW_HEIGHT)
            }
    }
}

/* `run` neighbours of each row; two rows have 2 * run <= TILE_ROWS. */
static __attribute__((noinline)) void column_tile_over(int run, column_operand from, segments along, panel_operand of,
                                                       REAL *const *c, tile_store end) {
#define COLUMN_HEIGHT(run) \
    case run: column_tile_sized(run, 1, 2, from, along, 0, of, c, end); break;
#define LOW_COLUMN_HEIGHT(run) \
    case run: column_tile_sized(run, 1, 1, from, along, 0, of, c, end); break;
#define PAIR_HEIGHT(run) \
    case run: column_tile_sized(2 * run, 2, 2, from, along, 0, of, c, end); break;
#define LOW_PAIR_HEIGHT(run) \
    case run: column_tile_sized(2 * run, 2, 1, from, along, 0, of, c, end); break;
    if (from.rows == 2 && end.columns > LANES) switch (run) {
            HALF_HEIGHTS(PAIR_HEIGHT)
        }
    else if (from.rows == 2) switch (run) {
            HALF_HEIGHTS(LOW_PAIR_HEIGHT)
        }
    else if (end.columns > LANES) switch (run) {
            HEIGHTS(COLUMN_HEIGHT)
        }
    else switch (run) {
            HEIGHTS(LOW_COLUMN_HEIGHT)
        }
}

static __attribute__((noinline)) void column_tile(int run, const REAL *base, int64_t stride, segments along,
                                                  const REAL *b, REAL *const *c, tile_store end) {
    const column_operand from = {base, stride, 0, 1};
    const panel_operand of = {.b = b};
#define PANEL_HEIGHT(run) \
    case run: column_tile_sized(run, 1, 2, from, along, 1, of, c, end); break;
#define LOW_PANEL_HEIGHT(run) \
    case run: column_tile_sized(run, 1, 1, from, along, 1, of, c, end); break;
    if (end.columns > LANES) switch (run) {
            HEIGHTS(PANEL_HEIGHT)
        }
    else switch (run) {
            HEIGHTS(LOW_PANEL_HEIGHT)
        }
}

/* B[t][lane] = source[t*stride + lane*lane_stride] for t < steps; zeros in lanes >= columns. */
static void pack_panel(int64_t steps, int64_t columns, const REAL *source, int64_t stride, int64_t lane_stride,
                       REAL *b) {
    if (lane_stride == 1)
        for (int64_t t = 0; t < steps; t++) {
            const REAL *from = source + t * stride;
            store(b + t * PANEL, load_part(from, columns));
            store(b + t * PANEL + LANES, load_part(from + LANES, columns - LANES));
        }
    else if (stride == 1) {
        if (columns < PANEL) memset(b, 0, (size_t)(steps * PANEL) * sizeof(REAL));
        transpose(columns, steps, source, lane_stride, b, PANEL);
    } else
        for (int64_t lane = 0; lane < PANEL; lane++) {
            const REAL *from = source + lane * lane_stride;
            for (int64_t t = 0; t < steps; t++) b[t * PANEL + lane] = lane < columns ? from[t * stride] : 0;
        }
}
