/* What all convolution kernels share: where taps are, and the slab, a copy of input rows with zeros around them.
 *
 * The forward pass and the input gradient are the same job with other numbers.  An output pixel (p, q) meets a grid of
 * R x S taps; tap (i, j) reads input pixel (p*step_h + first_h + i*tap_h, q*step_w + first_w + j*tap_w).
 *   forward:         step = stride, first = -padding, tap = dilation.
 *   input gradient:  for each phase (a, b) of the stride, pixels (a + stride*p, b + stride*q) of dx meet the taps with
 *                    (a + padding - r*dilation) divisible by stride; step = 1.
 */
typedef enum { BY_GEMM, BY_NARROW, BY_SMALL, BY_WINOGRAD, BY_DEPTHWISE } conv_form;

static void note_form(conv_form form) {
    switch (form) {
    case BY_GEMM: fn_note("gemm"); break;
    case BY_NARROW: fn_note("narrow"); break;
    case BY_SMALL: fn_note("small"); break;
    case BY_WINOGRAD: fn_note("winograd"); break;
    case BY_DEPTHWISE: fn_note("depthwise"); break;
    }
}

typedef struct {
    int64_t N, H, W, C, in_pixel; /* the input: C channels are used of each pixel, pixels lie in_pixel apart */
    const REAL *in;
    int64_t P, Q, K, out_image, out_row, out_pixel; /* strides of the output grid */
    REAL *out;
    int64_t R, S, step_h, step_w, first_h, first_w, tap_h, tap_w;
    const REAL *w; /* weight of tap (i, j), input channel c, output channel k: */
    int64_t w_tap_h, w_tap_w, w_in, w_out;
    epilogue end;
    int pooled;             /* y holds the largest of each 2 x 2 outputs, in strides of its own; P and Q are even */
    int64_t group, w_group; /* small groups of channels, all in this job: their size, their weights' distance; or 0 */

    conv_form form; /* conv_choose's, or another that fits */
    int once;       /* executed once: weights may be prepared on the way */

    /* filled by conv_measure */
    int slab;                                          /* whether inputs are copied */
    int64_t rows_per_task, row_tasks, panels_per_task; /* a task is some output rows times some panels */
    int64_t slab_columns, slab_bytes;
    int64_t prepared_bytes, scratch_bytes, shared_bytes; /* scratch_bytes for each thread, then shared_bytes for all */
    segments along;

    /* given by the caller of conv_prepare and conv_execute */
    REAL *prepared; /* weights as the form wants them */
    char *scratch;
} conv_job;

INLINE int64_t slab_rows(const conv_job *job, int64_t out_rows) {
    return (out_rows - 1) * job->step_h + (job->R - 1) * job->tap_h + 1;
}

/* Input rows [row, row + count) of an image, columns first_w on, zeros outside the image. */
static void fill_slab(const conv_job *job, int64_t image, int64_t row, int64_t count, REAL *slab) {
    int64_t C = job->C, width = job->slab_columns;
    int64_t left = min64(max64(-job->first_w, 0), width), column = max64(job->first_w, 0);
    int64_t inside = max64(min64(width - left, job->W - column), 0);
    for (int64_t h = row; h < row + count; h++, slab += width * C) {
        if (h < 0 || h >= job->H) {
            memset(slab, 0, (size_t)(width * C) * sizeof(REAL));
            continue;
        }
        const REAL *from = job->in + ((image * job->H + h) * job->W + column) * job->in_pixel;
        memset(slab, 0, (size_t)(left * C) * sizeof(REAL));
        if (C == job->in_pixel) memcpy(slab + left * C, from, (size_t)(inside * C) * sizeof(REAL));
        else
            for (int64_t i = 0; i < inside; i++)
                memcpy(slab + (left + i) * C, from + i * job->in_pixel, (size_t)C * sizeof(REAL));
        memset(slab + (left + inside) * C, 0, (size_t)((width - left - inside) * C) * sizeof(REAL));
    }
}

/* The largest of each 2 x 2 outputs of rows [first, last), channels [k, end), which lie at `full`. */
static void pool_outputs(const conv_job *job, int64_t first, int64_t last, int64_t k, int64_t end, const REAL *full) {
    int64_t line = job->Q * job->K;
    for (int64_t row = first; row < last; row += 2, full += 2 * line) {
        REAL *out = job->out + row / job->P * job->out_image + row % job->P / 2 * job->out_row;
        for (int64_t q = 0; q < job->Q; q += 2, out += job->out_pixel)
            for (int64_t c = k; c < end; c += LANES) {
                const REAL *at = full + q * job->K + c;
                vec best = maximum(load_part(at, end - c), load_part(at + job->K, end - c));
                best = maximum(maximum(best, load_part(at + line, end - c)), load_part(at + line + job->K, end - c));
                store_part(out + c, best, end - c);
            }
    }
}
