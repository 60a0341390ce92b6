/* All that Cython and the files of isa/ see of the C side: geometry, threads, memory, settings, plans, and the
 * kernel table, whose entries kernels.def declares.
 */
#ifndef FASTNET_H
#define FASTNET_H

#include <stddef.h>
#include <stdint.h>

typedef enum { FN_OK = 0, FN_NO_MEMORY = 1 } fn_status;

/* Conv2dGeometry.packed and Pool2dGeometry.packed of fastnet/geometry.py are these structs. */
typedef struct {
    int64_t N, C, H, W, K, R, S, P, Q, stride_h, stride_w, pad_top, pad_bottom, pad_left, pad_right, dilation_h,
        dilation_w, groups;
} fn_conv;
_Static_assert(sizeof(fn_conv) == 18 * 8, "Conv2dGeometry.packed is 18 integers of 64 bits");

typedef struct {
    int64_t N, C, H, W, R, S, P, Q, stride_h, stride_w, pad_top, pad_bottom, pad_left, pad_right, count_include_pad;
} fn_pool;
_Static_assert(sizeof(fn_pool) == 15 * 8, "Pool2dGeometry.packed is 15 integers of 64 bits");

/* Batch norm of images x pixels x C elements, and the ReLU after it; gamma, beta: C elements, or NULL. */
typedef struct {
    int64_t images, pixels, C;
    const double *mean, *inverse_std;
    const void *gamma, *beta;
    int relu;
} fn_norm;

/* Activations that a convolution can apply as it stores. */
enum {
    FN_NO_ACTIVATION,
#define ACTIVATION(name) FN_ACTIVATION_##name,
#include "kernels.def"
    FN_ACTIVATIONS
};
extern const char *const fn_activation_names[FN_ACTIVATIONS];

/* What a convolution does to its sums before it stores them: y = activation(sum*scale + shift + add), each part if
 * wanted. */
typedef struct {
    const void *scale, *shift; /* K elements each, or NULL; scale needs shift */
    const void *add; /* laid out like the output, or NULL */
    int activation;
    double a; /* the activation's parameter, where it has one */
} fn_epilogue;

/* Which of a window's equal maxima get its gradient: each an equal part, the first all of it, each all of it. */
typedef enum { FN_TIES_SPLIT = 0, FN_TIES_FIRST = 1, FN_TIES_ALL = 2 } fn_ties;

/* ---- runtime/threads.c, on thread_pool.c: the only place that knows threads ---- */

typedef void (*fn_task)(void *context, int64_t task, int thread);

/* Call body(context, i, thread) once for each i in [0, tasks) on at most `threads` threads, thread in [0, threads).
 * `work` is about how many elementary operations all tasks have together: small work stays on the calling thread. */
void fn_parallel_on(int threads, int64_t tasks, double work, fn_task body, void *context);
void fn_parallel(int64_t tasks, double work, fn_task body, void *context); /* on fn_threads() threads */
/* How many threads kernels may use.  It may change at any time: a kernel whose scratch is counted by it asks once. */
int fn_threads(void);
/* Choose the number for the whole process. */
void fn_set_threads(int count);
const char *fn_threading(void); /* whose threads, in words */

/* ---- runtime/memory.c: 64-byte-aligned blocks, kept for reuse ---- */

typedef enum { FN_ARRAY = 0, FN_SCRATCH = 1 } fn_kind;
typedef struct {
    int64_t live, cached, peak, scratch_live, scratch_peak; /* bytes */
} fn_memory;

void *fn_alloc(size_t bytes, fn_kind kind); /* NULL when there is no memory */
void fn_free(void *block);                  /* NULL is fine */
void fn_empty_cache(void);
void fn_memory_stats(fn_memory *stats);
void fn_reset_peak(void);
/* Hold (1) or release (0) the allocator's lock around a fork, so that the child finds the free lists whole. */
void fn_lock_memory(int on);
/* Fill each block with NaN as it is handed out. */
void fn_set_poison(int on);
/* Put each block, full of NaN, between pages without access; returns 0, or -1 where the system has none. */
int fn_set_guard(int on);

/* ---- engine/dispatch.c ---- */

typedef struct fn_kernels fn_kernels;

const fn_kernels *fn_table(int dtype); /* 0: float32, 1: float64 */
const char *fn_isa(void);
int fn_set_isa(const char *name); /* 0, or -1 when unknown or beyond this CPU; NULL chooses the best */
int fn_isa_supported(const char *name);
int fn_order_version(void); /* of the constants that decide bits: tuning.h */
const char *fn_compiler(void); /* that built this, with its version */

/* ---- runtime/settings.c ---- */

/* How convolutions run: chosen by shape, or always direct, or Winograd wherever it applies. */
typedef enum { FN_AUTO = 0, FN_DIRECT = 1, FN_WINOGRAD = 2 } fn_algorithm;
fn_algorithm fn_conv_algorithm(void);
void fn_set_conv_algorithm(fn_algorithm algorithm);

/* Convolutions note in which form they ran, for the profile.  `form` is a literal. */
void fn_note(const char *form);
int fn_notes(const char **forms, int most); /* how many since the last time, and which (some may be there twice) */

/* ---- elementwise kernels: y = f(x), in place if wanted; dx = dy * f'(x), from x or from y ---- */

/* a, b: parameters of f (a slope, a bound, ...), which most kernels ignore.  saved: x or y, whichever f' is cheaper
 * in. */
typedef void (*fn_map_forward)(int64_t n, double a, double b, const void *x, void *y);
typedef void (*fn_map_backward)(int64_t n, double a, double b, const void *dy, const void *saved, void *dx);

enum {
#define ELEMENTWISE(name) FN_MAP_##name,
#include "kernels.def"
    FN_MAPS
};
extern const char *const fn_map_names[FN_MAPS];

/* ---- engine/plan.c: inference of whole networks; fastnet/backends/native/plan.py makes the steps ---- */

/* A convolution whose weights are laid out once; csrc/conv/fixed.h. */
typedef struct {
    fn_conv g; /* N is what it is laid out for; it runs on any number */
    int64_t wide, algorithm, group_bytes; /* wide: channels a pixel of the array whose first K channels are y */
    int activation, pooled; /* pooled: y is the largest of each 2 x 2 outputs, after the activation */
    double a; /* the activation's parameter */
    void *laid_out;
} fn_fixed_conv;

enum {
#define STEP(name) FN_STEP_##name,
#include "kernels.def"
    FN_STEPS
};
extern const char *const fn_step_names[FN_STEPS];

enum { FN_INPUT = -1, FN_OUTPUT = -2, FN_NOWHERE = -3 }; /* places that are no offsets into the arena */

typedef struct {
    int64_t kind; /* FN_STEP_... */
    int64_t x, add, y; /* bytes an image from the arena's start, or a place */
    int64_t first, wide; /* y is `channels` channels of an array that has `wide`, from `first` on */
    int64_t pixels, channels, activation, pooled, map; /* activation: FN_ACTIVATION_...; map: FN_MAP_... */
    double a, b; /* parameters of the map or the activation; FN_STEP_moments: a is eps */
    fn_conv conv;
    fn_pool pool;
    /* conv: weight, shift, read by fn_plan_set; norms: mean, inverse_std (double), gamma, beta */
    const void *arrays[4];
    fn_fixed_conv fixed; /* made by fn_plan_set */
} fn_step;

typedef struct fn_plan fn_plan;

/* x_image, y_image: bytes of an image of the input and the output.  `batch` images at most are in the arena at a
 * time. */
fn_plan *fn_plan_new(int dtype, int64_t batch, int64_t arena, int64_t x_image, int64_t y_image, int64_t count);
/* The step's arrays must live as long as the plan, except a convolution's, which are read at once. */
fn_status fn_plan_set(fn_plan *plan, int64_t i, const fn_step *step);
void fn_plan_ready(fn_plan *plan); /* after all steps are set */
fn_status fn_plan_run(const fn_plan *plan, int64_t N, const void *x, void *y); /* from any number of threads */
void fn_plan_free(fn_plan *plan);

/* ---- the kernel table: one for each instruction set and dtype, filled by kernels.h ---- */

struct fn_kernels {
    const char *isa;
    int lanes; /* of a vector */
    fn_map_forward map_forward[FN_MAPS];
    fn_map_backward map_backward[FN_MAPS];
#define KERNEL(type, name, ...) type (*name)(__VA_ARGS__);
#define INNER_KERNEL(type, name, ...) type (*name)(__VA_ARGS__);
#include "kernels.def"
};

#endif
