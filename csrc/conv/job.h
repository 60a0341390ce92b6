/* Shared by all convolution algorithms: the problem, the layout of its arrays, how it is run; and slabs, zero-padded
 * copies of input rows. Needs micro/tile.h.
 *
 * The forward pass and the input gradient are the same problem with other sizes.  Output pixel (p, q) reads through a
 * grid of R x S taps; tap (i, j) reads input pixel (p*stride_h + first_h + i*tap_h, q*stride_w + first_w + j*tap_w).
 *   forward:         stride = the convolution's, first = -padding (top, left), tap = dilation.
 *   input gradient:  for each phase (a, b) of the stride, pixels (a + stride*p, b + stride*q) of dx use the taps with
 *                    (a + padding - r*dilation) divisible by its stride; stride = 1 here.
 */
typedef struct {
    int64_t N, H, W, C; /* the input */
    int64_t P, Q, K; /* the output */
    int64_t R, S, stride_h, stride_w, first_h, first_w, tap_h, tap_w;
    int64_t group; /* channels per group if one job takes all (small) groups, else 0 */
} conv_problem;

/* The arrays and their strides, in elements. */
typedef struct {
    const REAL *in;
    int64_t in_pixel; /* rows and images are contiguous */
    REAL *out;
    int64_t out_image, out_row, out_pixel;
    const REAL *w; /* of tap (i, j), input channel c and output channel k: */
    int64_t w_tap_h, w_tap_w, w_in, w_out;
    int64_t w_group; /* from one group's weights to the next, if problem.group is set */
} conv_layout;

/* How often the prepared weights are used. */
typedef enum {
    USED_ONCE, /* one run, which may prepare them piecewise */
    USED_FOR_BLOCKS, /* several runs, of a few images each */
    USED_IN_PLAN /* any number of runs on any number of images: inference */
} weights_use;

typedef struct conv_algorithm conv_algorithm; /* conv/algorithms.h */

/* How a job is run. */
typedef struct {
    const conv_algorithm *algorithm;
    weights_use use;
    int threads; /* read once, on entry to the kernel: it determines the number of buffers */

    /* set by the algorithm's measure; a task is a range of output rows times a range of panels */
    int slab; /* whether input rows are copied */
    int64_t rows_per_task, row_tasks, panels_per_task;
    int64_t slab_columns, slab_bytes;
    int64_t prepared_bytes, scratch_bytes, shared_bytes; /* scratch_bytes for each thread, then shared_bytes for all */

    segments along; /* set by the run itself */

    /* set by the caller before prepare and run */
    REAL *prepared; /* weights in the algorithm's layout; uninitialised before prepare */
    char *scratch;
} conv_schedule;

typedef struct {
    conv_problem conv;
    conv_layout at;
    epilogue end;
    int pooled; /* y holds the maximum of each 2 x 2 outputs, with its own strides; P and Q are even */
    conv_schedule run;
} conv_job;

/* The weight gradient of a forward problem: dw[k][c][tap] = sum over output pixels of dy[pixel][k] * x[pixel's tap][c].
 */
typedef struct {
    conv_problem conv;
    const REAL *x, *dy;
    int64_t x_pixel, dy_pixel; /* from one pixel to the next; rows and images are contiguous */
    REAL *dw; /* (K, C, R, S) in C order; with conv.group set (K, group, R, S) */
    int threads;
} weight_gradient;

/* The input gradient of a convolution: dx = gradient + add. */
typedef struct {
    const fn_conv *g;
    const REAL *dy, *w, *add; /* add: laid out like dx, or NULL */
    REAL *dx;
    int threads;
} input_gradient;

enum { GROUP = 4 }; /* besides 1, the group size whose groups one job takes together */

/* How many groups a job takes: all if vectors can run across groups, else one. */
INLINE int64_t groups_together(const fn_conv *g) {
    int64_t C = g->C / g->groups, K = g->K / g->groups;
    return C == K && (C == 1 || C == GROUP) && C <= LANES ? g->groups : 1;
}

INLINE int64_t conv_jobs(const fn_conv *g) { return g->groups / groups_together(g); }

/* The number of input rows spanned by `out_rows` output rows. */
INLINE int64_t slab_rows(const conv_problem *conv, int64_t out_rows) {
    return (out_rows - 1) * conv->stride_h + (conv->R - 1) * conv->tap_h + 1;
}

/* Copy input rows [row, row + count) of an image, `columns` pixels each starting at first_w, with zeros outside. */
static void fill_slab(const conv_problem *conv, const REAL *in, int64_t in_pixel, int64_t columns, int64_t image,
                      int64_t row, int64_t count, REAL *slab) {
    int64_t C = conv->C;
    int64_t left = min64(max64(-conv->first_w, 0), columns), column = max64(conv->first_w, 0);
    int64_t inside = max64(min64(columns - left, conv->W - column), 0);
    for (int64_t h = row; h < row + count; h++, slab += columns * C) {
        if (h < 0 || h >= conv->H) {
            memset(slab, 0, (size_t)(columns * C) * sizeof(REAL));
            continue;
        }
        const REAL *from = in + ((image * conv->H + h) * conv->W + column) * in_pixel;
        memset(slab, 0, (size_t)(left * C) * sizeof(REAL));
        if (C == in_pixel) memcpy(slab + left * C, from, (size_t)(inside * C) * sizeof(REAL));
        else
            for (int64_t i = 0; i < inside; i++)
                memcpy(slab + (left + i) * C, from + i * in_pixel, (size_t)C * sizeof(REAL));
        memset(slab + (left + inside) * C, 0, (size_t)((columns - left - inside) * C) * sizeof(REAL));
    }
}

/* Whether to use non-temporal stores: then a cache line is stored in one go, since its neighbours are stored later. */
INLINE int stores_past_caches(const conv_job *job) {
    const int64_t size = sizeof(REAL), run = (job->conv.K | job->at.out_pixel) * size; /* both in whole lines */
    return !job->pooled && is_large(job->at.out, run, job->conv.N * job->at.out_image * size);
}

/* Store the maximum of each 2 x 2 of the outputs at `full`, for rows [first, last) and channels [k, end). */
static void pool_outputs(const conv_job *job, int64_t first, int64_t last, int64_t k, int64_t end, const REAL *full) {
    int64_t K = job->conv.K, row_stride = job->conv.Q * K;
    for (int64_t row = first; row < last; row += 2, full += 2 * row_stride) {
        REAL *out = job->at.out + row / job->conv.P * job->at.out_image + row % job->conv.P / 2 * job->at.out_row;
        for (int64_t q = 0; q < job->conv.Q; q += 2, out += job->at.out_pixel)
            for (int64_t c = k; c < end; c += LANES) {
                const REAL *from = full + q * K + c;
                vec best = maximum(load_part(from, end - c), load_part(from + K, end - c));
                best = maximum(maximum(best, load_part(from + row_stride, end - c)),
                               load_part(from + row_stride + K, end - c));
                store_part(out + c, best, end - c);
            }
    }
}
