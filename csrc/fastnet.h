/* All that Cython and the ISA wrappers see of the C side: geometry, status, threads, memory, the kernel table.
 *
 * Activations are channels-last: pixel (n, h, w) holds its C channels side by side.  Weights are (K, C/groups, R, S)
 * in C order.  Pointers are to float or double, whichever the table was compiled for; none may be NULL unless noted.
 */
#ifndef FASTNET_H
#define FASTNET_H

#include <stddef.h>
#include <stdint.h>

typedef enum { FN_OK = 0, FN_NO_MEMORY = 1 } fn_status;

/* Conv2dGeometry.packed and Pool2dGeometry.packed of fastnet/geometry.py hold these numbers in this order. */
typedef struct {
    int64_t N, C, H, W, K, R, S, P, Q, stride_h, stride_w, pad_top, pad_bottom, pad_left, pad_right, dilation_h,
        dilation_w, groups;
} fn_conv;

typedef struct {
    int64_t N, C, H, W, R, S, P, Q, stride_h, stride_w, pad_top, pad_bottom, pad_left, pad_right, count_include_pad;
} fn_pool;

/* ---- threads.c, on pool.c: the only place that knows threads ---- */

typedef void (*fn_task)(void *context, int64_t task, int thread);

/* Call body(context, i, thread) once for each i in [0, tasks), thread in [0, fn_threads()).  `work` is about how many
 * elementary operations all tasks have together: small work stays on the calling thread. */
void fn_parallel(int64_t tasks, double work, fn_task body, void *context);
int fn_threads(void);
/* This many threads for the kernels that this thread runs from here on; returns how many before. */
int fn_use_threads(int count); /* threads that fn_parallel may use; buffers per thread are sized by it */
void fn_pin_threads(void); /* fix that number for this thread, until the next call; fn_table does */
void fn_set_threads(int count);
const char *fn_threading(void); /* whose threads, in words */

/* ---- memory.c: 64-byte-aligned blocks, kept for reuse ---- */

typedef enum { FN_ARRAY = 0, FN_SCRATCH = 1 } fn_kind;
typedef struct {
    int64_t live, cached, peak, scratch_live, scratch_peak; /* bytes */
} fn_memory;

void *fn_alloc(size_t bytes, fn_kind kind); /* NULL when there is no memory */
void fn_free(void *block);                  /* NULL is fine */
void fn_empty_cache(void);
void fn_memory_stats(fn_memory *stats);
void fn_reset_peak(void);
void fn_lock_memory(int on); /* around a fork, so that the child finds the free lists whole */
void fn_set_poison(int on); /* fill each block with NaN as it is handed out */
int fn_set_guard(int on); /* put each block, full of NaN, between pages without access; 0, or -1 where that cannot be */

/* ---- dispatch.c ---- */

typedef struct fn_kernels fn_kernels;

/* Batch norm of images x pixels x C numbers, and the ReLU after it; gamma, beta: C numbers, or NULL. */
typedef struct {
    int64_t images, pixels, C;
    const double *mean, *inverse_std;
    const void *gamma, *beta;
    int relu;
} fn_norm;

const fn_kernels *fn_table(int dtype); /* 0: float32, 1: float64; called before each kernel, on its thread */
const char *fn_isa(void);
int fn_set_isa(const char *name); /* 0, or -1 when unknown or beyond this CPU; NULL chooses the best */
int fn_isa_supported(const char *name);
const char *fn_compiler(void); /* that built this, with its version */

/* What a convolution does to its sums before it stores them: y = max(sum*scale + shift + add, 0), each part if wanted. */
typedef struct {
    const void *scale, *shift; /* K numbers each, or NULL; scale needs shift */
    const void *add; /* laid out like the output, or NULL */
    int relu;
} fn_epilogue;

/* How convolutions run: chosen by shape, or always direct, or Winograd wherever it applies. */
typedef enum { FN_AUTO = 0, FN_DIRECT = 1, FN_WINOGRAD = 2 } fn_algorithm;
fn_algorithm fn_conv_algorithm(void);
void fn_set_conv_algorithm(fn_algorithm algorithm);

/* Which of a window's equal maxima get its gradient: each an equal part, the first all of it, each all of it. */
typedef enum { FN_TIES_SPLIT = 0, FN_TIES_FIRST = 1, FN_TIES_ALL = 2 } fn_ties;

/* ---- plan.c: inference of whole networks; fastnet/backends/native_plan.py makes the steps ---- */

/* A convolution whose weights are laid out once; csrc/kernels/conv_fixed.h. */
typedef struct {
    fn_conv g; /* N is what it is laid out for; it runs on any number */
    int64_t wide, form, group_bytes; /* wide: channels a pixel of the array whose first K channels are y */
    int relu, pooled; /* pooled: y is the largest of each 2 x 2 outputs, after relu */
    void *laid_out;
} fn_fixed_conv;

typedef enum {
    FN_CONV,
    FN_MAX_POOL,
    FN_AVG_POOL,
    FN_NORM,
    FN_MOMENTS,
    FN_RELU,
    FN_LEAKY_RELU,
    FN_SIGMOID,
    FN_TANH,
    FN_ADD,
    FN_COPY,
    FN_FLATTEN,
    FN_SUBSAMPLE
} fn_step_kind;

enum { FN_INPUT = -1, FN_OUTPUT = -2, FN_NOWHERE = -3 }; /* places that are no offsets into the arena */

typedef struct {
    /* packed by Python, in this order */
    int64_t kind, x, add, y; /* x, add, y: bytes an image from the arena's start, or a place */
    int64_t first, wide; /* y is `channels` channels of an array that has `wide`, from `first` on */
    int64_t pixels, channels, relu, pooled;
    double number; /* slope, or eps */
    fn_conv conv;
    fn_pool pool;
    /* end of what Python packs */
    const void
        *arrays[4]; /* FN_CONV: weight, shift, only while it is set; norms: mean, inverse_std (double), gamma, beta */
    fn_fixed_conv fixed;
} fn_step;
#define FN_STEP_BYTES offsetof(fn_step, arrays)

typedef struct fn_plan fn_plan;

/* x_image, y_image: bytes of an image of the input and the output.  `batch` images at most are in the arena at a time. */
fn_plan *fn_plan_new(int dtype, int64_t batch, int64_t arena, int64_t x_image, int64_t y_image, int64_t count);
fn_status fn_plan_set(fn_plan *plan, int64_t i, const void *packed, const void *const arrays[4]);
void fn_plan_ready(fn_plan *plan); /* after all steps are set */
fn_status fn_plan_run(const fn_plan *plan, int64_t N, const void *x, void *y); /* from any number of threads */
void fn_plan_free(fn_plan *plan);

/* Convolutions note by which form they ran, for the profile.  `form` is a literal. */
void fn_note(const char *form);
int fn_notes(const char **forms, int most); /* how many since the last time, and which (some may be there twice) */

/* ---- the kernel table: one for each (ISA, dtype), filled by kernels/all.h ---- */

struct fn_kernels {
    const char *isa;
    int lanes; /* of a vector */

    /* c (M x N, contiguous) = a (M x K) * b (K x N) + bias (N, may be NULL).  Each operand has one stride of 1. */
    fn_status (*gemm)(int64_t M, int64_t N, int64_t K, const void *a, int64_t a_row, int64_t a_col, const void *b,
                      int64_t b_row, int64_t b_col, const void *bias, void *c);
    fn_status (*conv_forward)(const fn_conv *g, const void *x, const void *w, const fn_epilogue *end, void *y);
    /* dx = gradient + add; add: or NULL */
    fn_status (*conv_grad_input)(const fn_conv *g, const void *dy, const void *w, const void *add, void *dx);
    fn_status (*conv_grad_weight)(const fn_conv *g, const void *x, const void *dy, void *dw);
    fn_status (*conv_fix)(fn_fixed_conv *c, const void *w, const void *shift); /* fills form, group_bytes, laid_out */
    int64_t (*conv_fixed_scratch)(const fn_fixed_conv *c, int64_t N);
    void (*conv_run_fixed)(const fn_fixed_conv *c, int64_t N, const void *x, const void *add, void *y, void *scratch);
    fn_status (*column_sum)(int64_t rows, int64_t columns, const void *x, void *sum); /* bias gradients */
    fn_status (*im2col)(const fn_conv *g, const void *x, void *columns); /* columns (N, C*R*S, P*Q), C order */
    fn_status (*col2im)(const fn_conv *g, const void *columns, void *x);

    /* index: position in the window, r*S + s, of each maximum; uint8 where R*S < 256, else int32.  relu: y = max(y, 0), and
     * the index is 255 or -1, which is nowhere, unless y > 0.  index: or NULL. */
    fn_status (*max_pool)(const fn_pool *g, const void *x, int relu, void *y, void *index);
    fn_status (*max_pool_backward)(const fn_pool *g, const void *dy, const void *index, void *dx);
    /* The same for x, y, dy, dx in C order; the maxima are found again. */
    fn_status (*max_pool_planes)(const fn_pool *g, const void *x, void *y);
    fn_status (*max_pool_planes_backward)(const fn_pool *g, fn_ties ties, const void *x, const void *dy, void *dx);
    fn_status (*avg_pool)(const fn_pool *g, const void *x, void *y);
    fn_status (*avg_pool_backward)(const fn_pool *g, const void *dy, void *dx);

    /* Batch norm.  var: biased; y = (x - mean)*inverse_std*gamma + beta + add, and its positive part with relu. */
    fn_status (*norm_moments)(int64_t images, int64_t pixels, int64_t C, const void *x, double *mean, double *var);
    fn_status (*norm_apply)(const fn_norm *n, const void *x, const void *add, void *y);
    /* With relu, dy counts where the normalised x is positive; or, with an add, where y is, and is written to `gated`,
     * which takes dy's place after that (y, gated: else NULL).  dgamma, dbeta: C doubles. */
    fn_status (*norm_sums)(const fn_norm *n, const void *dy, const void *x, const void *y, void *gated, double *dgamma,
                           double *dbeta);
    /* dx = gamma*inverse_std*(dy - dbeta/rows - xhat*dgamma/rows); where statistics are fixed, and dgamma and dbeta NULL,
     * dx = gamma*inverse_std*dy. */
    fn_status (*norm_backward)(const fn_norm *n, const void *dy, const void *x, const double *dgamma,
                               const double *dbeta, void *dx);
    /* conv_forward and norm_moments of y; norm_backward, conv_grad_input and conv_grad_weight (dx, dw: or NULL). */
    fn_status (*conv_norm_forward)(const fn_conv *g, const void *x, const void *w, const void *bias, void *y,
                                   double *mean, double *var);
    fn_status (*conv_norm_backward)(const fn_conv *g, const fn_norm *n, const void *x, const void *w, const void *dy,
                                    const void *y, const double *dgamma, const double *dbeta, const void *add, void *dx,
                                    void *dw);
    /* conv_forward and max_pool of its outputs, which are not kept; max_pool_backward, conv_grad_input, conv_grad_weight, and
     * the sum of what arrives in each channel (dx, dw, db: or NULL). */
    fn_status (*conv_pool_forward)(const fn_conv *g, const fn_pool *pool, const void *x, const void *w,
                                   const void *bias, int relu, void *y, void *index);
    fn_status (*conv_pool_backward)(const fn_conv *g, const fn_pool *pool, const void *x, const void *w, const void *dy,
                                    const void *index, const void *add, void *dx, void *dw, void *db);

    void (*relu)(int64_t n, const void *x, void *y);
    void (*relu_backward)(int64_t n, const void *dy, const void *y, void *dx);
    void (*leaky_relu)(int64_t n, double slope, const void *x, void *y);
    void (*leaky_relu_backward)(int64_t n, double slope, const void *dy, const void *x, void *dx);
    void (*sigmoid)(int64_t n, const void *x, void *y);
    void (*sigmoid_backward)(int64_t n, const void *dy, const void *y, void *dx);
    void (*tanh)(int64_t n, const void *x, void *y);
    void (*tanh_backward)(int64_t n, const void *dy, const void *y, void *dx);
    void (*add)(int64_t n, const void *a, const void *b, void *y); /* y may be a */

    void (*uniform)(int64_t n, uint64_t seed, uint64_t offset, void *out); /* Philox4x32-10, see backends/philox.py */
    void (*dropout)(int64_t n, double p, uint64_t seed, uint64_t offset, const void *x, void *y, uint8_t *keep);
    void (*dropout_backward)(int64_t n, double p, const void *dy, const uint8_t *keep, void *dx);

    /* scores (N, C), labels in [0, C); *loss is the mean over N. */
    fn_status (*softmax_loss)(int64_t N, int64_t C, const void *scores, const int64_t *labels, double *loss,
                              void *dscores);
    fn_status (*svm_loss)(int64_t N, int64_t C, const void *scores, const int64_t *labels, double margin, double *loss,
                          void *dscores);

    /* In place on w and the state; formulas in backends/pointwise.py.  velocity: or NULL. */
    void (*sgd_step)(int64_t n, void *w, const void *g, void *velocity, double lr, double momentum, double dampening,
                     int nesterov, double weight_decay);
    void (*adagrad_step)(int64_t n, void *w, const void *g, void *squares, double lr, double eps, double weight_decay);
    void (*rmsprop_step)(int64_t n, void *w, const void *g, void *squares, double lr, double decay_rate, double eps,
                         double weight_decay);
    void (*adam_step)(int64_t n, void *w, const void *g, void *m, void *v, int64_t t, double lr, double beta1,
                      double beta2, double eps, double weight_decay, int decoupled);

    void (*to_channels_last)(int64_t N, int64_t C, int64_t pixels, const void *x, void *y); /* (N,C,px) -> (N,px,C) */
    void (*to_channels_first)(int64_t N, int64_t C, int64_t pixels, const void *x, void *y);
    /* dst[i*dst_stride + j] = src[i*src_stride + j] for i < rows, j < width: concat and split along channels */
    void (*copy_rows)(int64_t rows, int64_t width, const void *src, int64_t src_stride, void *dst, int64_t dst_stride);
    /* y (N, H/stride, W/stride, channels), rounded up: each stride-th pixel of x, zero channels on both sides */
    void (*subsample)(int64_t N, int64_t C, int64_t H, int64_t W, int64_t stride, int64_t channels, const void *x,
                      void *y);
    double (*fma_burst)(int64_t rounds); /* multiply-adds in registers on all threads; returns the operations done */
};

#endif
