/* The transforms of Winograd's minimal filtering F(7 - r, r), one dimension, on vectors of channels.  Needs simd/vec.h.
 *
 * A tile of 6 inputs d and a filter g of r taps give 7 - r outputs y = A^T [(G g) * (B^T d)], with 6 products instead
 * of 12 for 3 or 4 taps, of 10 for 2 or 5.  The matrices come from interpolation at the points 0, +-a, +-b, infinity
 * (Lavin & Gray 2016; Barabasz et al. 2018).  With a = 3/4, b = 3/2 the relative L2 error in float32 is half that of
 * the usual 0, +-1, +-2, and all constants of B and A are exact in binary.  In two dimensions each transform runs over
 * rows, then over columns.
 */
#define PA ((REAL)0.75)
#define PB ((REAL)1.5)
#define PA2 (PA * PA)
#define PB2 (PB * PB)

enum { WINOGRAD_TILE = 6, POINTS = 36 };

/* The choice between direct and Winograd for an R x R kernel at stride 1 depends on these parameters alone. */
INLINE int choose_winograd(int64_t R, int64_t C, int64_t K, int64_t P, int64_t Q) {
    if (R != 3 && R != 5) return 0;
    if (fn_conv_algorithm() != FN_AUTO) return fn_conv_algorithm() == FN_WINOGRAD;
    return min64(C, K) >= WINOGRAD_CHANNELS && min64(P, Q) >= WINOGRAD_PIXELS;
}

/* B^T d: the coefficients of x-polynomials that vanish at all points but one.
 *   0:   (x^2 - a^2)(x^2 - b^2)          +-a: x (x +- a)(x^2 - b^2)
 *   inf: x (x^2 - a^2)(x^2 - b^2)        +-b: x (x +- b)(x^2 - a^2)          with d_i for x^i */
INLINE void transform_input(const vec d0, const vec d1, const vec d2, const vec d3, const vec d4, const vec d5,
                            vec *v) {
    vec a = broadcast(PA), b = broadcast(PB), minus_a2 = broadcast(-PA2), minus_b2 = broadcast(-PB2);
    vec product = broadcast(PA2 * PB2), minus_sum = broadcast(-(PA2 + PB2));
    vec even_a = multiply_add(minus_b2, d2, d4), odd_a = multiply_add(minus_b2, d1, d3);
    vec even_b = multiply_add(minus_a2, d2, d4), odd_b = multiply_add(minus_a2, d1, d3);
    v[0] = multiply_add(product, d0, multiply_add(minus_sum, d2, d4));
    v[1] = multiply_add(a, odd_a, even_a);
    v[2] = multiply_add(-a, odd_a, even_a);
    v[3] = multiply_add(b, odd_b, even_b);
    v[4] = multiply_add(-b, odd_b, even_b);
    v[5] = multiply_add(product, d1, multiply_add(minus_sum, d3, d5));
}

/* A^T m, `count` outputs, 2 to 5: y_i = sum over points of x^i m_x; infinity counts for the last. Computes the even
 * outputs or the odd ones: either half of a tile's rows, then its columns, stay in AVX2's 16 registers. */
INLINE void transform_output(const int count, const int odd, const vec *m, vec *y) {
    const vec of_a = odd ? m[1] - m[2] : m[1] + m[2], of_b = odd ? m[3] - m[4] : m[3] + m[4];
    if (!odd) y[0] = m[0] + of_a + of_b;
    REAL a = PA, b = PB;
    UNROLL_FOR (int i = 1; i < count; i++, a *= PA, b *= PB) {
        if ((i & 1) != odd) continue;
        vec rest = i == count - 1 ? multiply_add(broadcast(b), of_b, m[5]) : broadcast(b) * of_b;
        y[i] = multiply_add(broadcast(a), of_a, rest);
    }
}

/* G g: g(x) / N_x with N_0 = a^2 b^2, N_a = 2 a^2 (a^2 - b^2), N_b = 2 b^2 (b^2 - a^2); the last tap for infinity. */
#define SCALE_0 (1 / (PA2 * PB2))
#define SCALE_A (1 / (2 * PA2 * (PA2 - PB2)))
#define SCALE_B (1 / (2 * PB2 * (PB2 - PA2)))

/* G g of a filter of 2 to 5 taps; +-x from the even and odd parts of g: g(+-x) = even(x^2) +- x odd(x^2). */
INLINE void transform_filter(const int taps, const vec *g, vec *u) {
    const vec x[2] = {broadcast(PA), broadcast(PB)}, scale[2] = {broadcast(SCALE_A), broadcast(SCALE_B)};
    u[0] = broadcast(SCALE_0) * g[0];
    UNROLL_FOR (int i = 0; i < 2; i++) {
        vec square = x[i] * x[i], even = g[0], odd = g[1];
        if (taps > 2) even = multiply_add(square, taps > 4 ? multiply_add(square, g[4], g[2]) : g[2], even);
        if (taps > 3) odd = multiply_add(square, g[3], odd);
        u[1 + 2 * i] = scale[i] * multiply_add(x[i], odd, even);
        u[2 + 2 * i] = scale[i] * multiply_add(-x[i], odd, even);
    }
    u[5] = g[taps - 1];
}

/* The tiles of side x side outputs of a batch, counted by image, row, column. */
typedef struct {
    int64_t side, down, across, count;
} winograd_grid;

/* Tiles of P x Q outputs of a kernel of R x R taps. */
INLINE winograd_grid grid_of(int64_t N, int64_t P, int64_t Q, int64_t R) {
    int64_t side = WINOGRAD_TILE + 1 - R, down = ceil_div(P, side), across = ceil_div(Q, side);
    return (winograd_grid){side, down, across, N * down * across};
}

typedef struct {
    int64_t image, row, column; /* of tiles */
} winograd_position;

INLINE winograd_position position_of(const winograd_grid *grid, int64_t tile) {
    int64_t row = tile / grid->across;
    return (winograd_position){row / grid->down, row % grid->down, tile % grid->across};
}

INLINE winograd_position next_position(const winograd_grid *grid, winograd_position at) {
    if (++at.column < grid->across) return at;
    if (++at.row < grid->down) return (winograd_position){at.image, at.row, 0};
    return (winograd_position){at.image + 1, 0, 0};
}

/* The pixels that tiles are read from; the tile at (row, column) begins at pixel (side*row + first_h, side*column +
 * first_w). */
typedef struct {
    const REAL *data, *zeros; /* zeros: read in place of pixels outside */
    int64_t H, W, pixel, side, first_h, first_w;
} winograd_image;

/* The addresses of a tile's pixels, as integers; 6 per row are used. AVX2 compares and selects four at a time. */
enum { ADDRESSES = 4 };
typedef int64_t addresses __attribute__((vector_size(8 * ADDRESSES)));
typedef struct {
    addresses rows[WINOGRAD_TILE][2];
} winograd_pixels;

INLINE const REAL *pixel_of(const winograd_pixels *p, int i, int j) {
    return (const REAL *)p->rows[i][j / ADDRESSES][j % ADDRESSES];
}

/* The pixels of a tile from its upper left corner, `size` rows; those outside the image point to `zeros`. */
INLINE void locate_winograd_tile(const int size, const winograd_image *image, winograd_position at,
                                 winograd_pixels *tile) {
    const addresses numbers = {0, 1, 2, 3}, zeros = (int64_t)image->zeros - (addresses){0};
    int64_t row = image->side * at.row + image->first_h, column = image->side * at.column + image->first_w;
    int64_t pixel = image->pixel * (int64_t)sizeof(REAL), line = image->W * pixel;
    int64_t first = (int64_t)image->data + (at.image * image->H + row) * line + column * pixel;
    UNROLL_FOR (int half = 0; half < 2; half++) {
        int64_t left = column + half * ADDRESSES, from = first + half * ADDRESSES * pixel;
        addresses inside = (numbers >= -left) & (numbers < image->W - left), outside = zeros & ~inside;
        addresses here = (addresses){0, pixel, 2 * pixel, 3 * pixel} + from;
        UNROLL_FOR (int i = 0; i < size; i++, here += line)
            tile->rows[i][half] = row + i >= 0 && row + i < image->H ? (here & inside) | outside : zeros;
    }
}

/* Prefetch a tile's pixels from channel c on; tiles go from left to right, so only the last columns are new. */
INLINE void prefetch_winograd_tile(const int size, const int columns, const winograd_pixels *tile, int64_t c) {
    UNROLL_FOR (int i = 0; i < size; i++)
        UNROLL_FOR (int j = size - columns; j < size; j++) __builtin_prefetch(pixel_of(tile, i, j) + c);
}

/* B^T d B of one tile and one vector of channels, to v[point * stride]. */
INLINE void winograd_input_tile(const winograd_pixels *tile, int64_t c, int64_t lanes, REAL *v, int64_t stride) {
    vec t[WINOGRAD_TILE][WINOGRAD_TILE], out[WINOGRAD_TILE];
    UNROLL_FOR (int i = 0; i < WINOGRAD_TILE; i++) {
        vec d[WINOGRAD_TILE];
        UNROLL_FOR (int j = 0; j < WINOGRAD_TILE; j++) d[j] = load_part(pixel_of(tile, i, j) + c, lanes);
        transform_input(d[0], d[1], d[2], d[3], d[4], d[5], t[i]);
    }
    UNROLL_FOR (int j = 0; j < WINOGRAD_TILE; j++) {
        transform_input(t[0][j], t[1][j], t[2][j], t[3][j], t[4][j], t[5][j], out);
        UNROLL_FOR (int i = 0; i < WINOGRAD_TILE; i++) store_part(v + (i * WINOGRAD_TILE + j) * stride, out[i], lanes);
    }
}

/* At least `size` elements, as an odd number of cache lines: 36 streams a power of two apart would share a few
 * sets of the cache. */
INLINE int64_t odd_lines(int64_t size) {
    int64_t cache_line = 64 / (int64_t)sizeof(REAL);
    return (ceil_div(size, cache_line) | 1) * cache_line;
}
