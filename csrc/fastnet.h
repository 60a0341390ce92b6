/* The interface of the C side to Cython and the files of isa/: geometry, threads, memory, settings, plans, and the
 * kernel table; kernels.def declares its entries.
 */
#ifndef FASTNET_H
#define FASTNET_H

#include <stddef.h>
#include <stdint.h>

typedef enum { FN_OK = 0, FN_NO_MEMORY = 1 } fn_status;
typedef struct fn_kernels fn_kernels;

/* Conv2dGeometry.packed and Pool2dGeometry.packed of fastnet/geometry.py are these structs. */
typedef struct {
    int64_t N, C, H, W, K, R, S, P, Q, stride_h, stride_w, pad_top, pad_bottom, pad_left, pad_right, dilation_h,
        dilation_w, groups;
} fn_conv;
_Static_assert(sizeof(fn_conv) == 18 * 8, "Conv2dGeometry.packed is 18 integers of 64 bits");

typedef struct {
    int64_t N, C, H, W, R, S, P, Q, stride_h, stride_w, pad_top, pad_bottom, pad_left, pad_right, count_include_pad,
        dilation_h, dilation_w, divisor; /* dilation: of max pooling; divisor: of average pooling, or 0 to count */
} fn_pool;
_Static_assert(sizeof(fn_pool) == 18 * 8, "Pool2dGeometry.packed is 18 integers of 64 bits");

/* A linear map along an axis, Taps.packed: followed by outputs + 1 starts, the input of each tap (int64_t), and the
 * weight of each tap (double). */
typedef struct {
    int64_t inputs, outputs, taps;
} fn_axis;

/* Batch norm of images x pixels x C elements; gamma, beta: C elements, or NULL. relu: 1 or 6 if the gradient is masked
 * by that of the ReLU or ReLU6 behind the norm, else 0. */
typedef struct {
    int64_t images, pixels, C;
    const double *mean, *inverse_std;
    const void *gamma, *beta;
    int relu;
} fn_norm;

typedef enum {
#define ELEMENTWISE(name) FN_MAP_##name,
#include "kernels.def"
    FN_MAPS
} fn_map;
extern const char *const fn_map_names[FN_MAPS];

/* Activations that kernels can apply as they store: none, the elementwise functions, and prelu. */
enum {
    FN_NO_ACTIVATION,
#define ELEMENTWISE(name) FN_ACTIVATION_##name,
#include "kernels.def"
    FN_ACTIVATION_prelu,
    FN_ACTIVATIONS
};
extern const char *const fn_activation_names[FN_ACTIVATIONS];

/* The epilogue of a convolution, product or norm, applied before it stores: y = activation(sum*scale + shift + add),
 * each term optional. */
typedef struct {
    const void *scale, *shift, *slopes; /* one element per channel, or NULL; scale needs shift; slopes: of prelu */
    const void *add; /* laid out like the output, or NULL */
    void *before; /* laid out like the output: receives the activation's argument; or NULL */
    int activation;
    double a, b; /* the activation's parameters, where it has any */
} fn_epilogue;

/* How equal maxima of a window share its gradient: in equal parts; the first gets all of it; each gets all of it. */
typedef enum { FN_TIES_SPLIT = 0, FN_TIES_FIRST = 1, FN_TIES_ALL = 2 } fn_ties;

/* ---- runtime/threads.c, on thread_pool.c: all threading ---- */

typedef void (*fn_task)(void *context, int64_t task, int thread);

/* Call body(context, i, thread) once for each i in [0, tasks) on at most `threads` threads, thread in [0, threads).
 * `work` is roughly the number of elementary operations of all tasks: small work stays on the calling thread. */
void fn_parallel_on(int threads, int64_t tasks, double work, fn_task body, void *context);
void fn_parallel(int64_t tasks, double work, fn_task body, void *context); /* on fn_threads() threads */
/* The number of threads that kernels may use. It may change at any time, so a kernel that sizes scratch by it reads it
 * once. */
int fn_threads(void);
/* Set the number for the whole process. */
void fn_set_threads(int count);
void fn_run_alone(void); /* from now on, kernels that this thread calls use no other thread */
const char *fn_threading(void); /* the threading library, as text */

/* ---- runtime/batch.c: loops of several kernel calls as one ---- */

enum { FN_BATCH = 64, FN_BATCH_CONTEXT = 20 };
typedef struct {
    int64_t tasks, first[FN_BATCH];
    double work;
    fn_task body[FN_BATCH];
    void *written[FN_BATCH];
    uint64_t context[FN_BATCH][FN_BATCH_CONTEXT];
    int count;
} fn_batch;

/* From begin to end, fn_parallel_batched keeps this thread's loops, with copies of their contexts of `size` bytes, and
 * runs them together at the end or when the batch is full.  Loops of a batch must not depend on each other; one that
 * writes the array `written` of an earlier one runs after it.  Outside a batch it is fn_parallel. */
void fn_batch_begin(fn_batch *batch);
void fn_batch_end(void);
void fn_parallel_batched(int64_t tasks, double work, fn_task body, const void *context, size_t size, void *written);

/* ---- runtime/memory.c: 64-byte-aligned blocks, cached for reuse ---- */

typedef enum { FN_ARRAY = 0, FN_SCRATCH = 1 } fn_kind;
typedef struct {
    int64_t live, cached, peak, scratch_live, scratch_peak; /* bytes */
} fn_memory;

void *fn_alloc(size_t bytes, fn_kind kind); /* NULL if out of memory */
void fn_free(void *block);                  /* NULL is fine */
void fn_empty_cache(void);
void fn_memory_stats(fn_memory *stats);
void fn_reset_peak(void);
/* Hold (1) or release (0) the allocator's lock around a fork, so that the child's free lists are consistent. */
void fn_lock_memory(int on);
/* Fill each block with NaN when it is allocated. */
void fn_set_poison(int on);
/* Put each block, filled with NaN, between inaccessible pages; returns 0, or -1 if unsupported by the system. */
int fn_set_guard(int on);

/* ---- engine/dispatch.c ---- */

const fn_kernels *fn_table(int dtype); /* 0: float32, 1: float64 */
const char *fn_isa(void);
int fn_set_isa(const char *name); /* 0, or -1 if unknown or unsupported by this CPU; NULL selects the best */
const char *fn_isa_name(int i);  /* the i-th instruction set that this CPU can run, best first; NULL after the last */
int fn_order_version(void); /* version of the constants that decide bits: tuning.h */
const char *fn_compiler(void); /* name and version */

/* ---- runtime/settings.c ---- */

/* The convolution algorithm: chosen by shape, always direct, or Winograd wherever it applies. */
typedef enum { FN_AUTO = 0, FN_DIRECT = 1, FN_WINOGRAD = 2 } fn_algorithm;
fn_algorithm fn_conv_algorithm(void);
void fn_set_conv_algorithm(fn_algorithm algorithm);

/* Convolutions record which algorithm ran, for the profile. `form` must be a literal. */
void fn_note(const char *form);
int fn_notes(const char **forms, int most); /* number and names since the last call (with possible duplicates) */

/* ---- engine/plan.c: inference of whole networks; steps come from fastnet/backends/native/steps.py ---- */

/* A convolution with weights packed once; csrc/conv/fixed.h. */
typedef struct {
    fn_conv g; /* N is the expected number of images; any number works */
    int64_t wide, algorithm; /* wide: channels per pixel of the array; y is its first K */
    int64_t group_bytes, bytes; /* of the prepared weights of one group, and of all */
    int activation, pooled; /* pooled: y is the maximum of each 2 x 2 outputs, after the activation */
    double a, b; /* the activation's parameters */
    void *prepared;
} fn_fixed_conv;

enum {
#define STEP(name) FN_STEP_##name,
#include "kernels.def"
    FN_STEPS
};
extern const char *const fn_step_names[FN_STEPS];

enum { FN_INPUT = -1, FN_OUTPUT = -2, FN_NOWHERE = -3 }; /* special places, besides offsets */

/* Where a value lies. */
typedef struct {
    int64_t at; /* offset in bytes per image, or a special place */
    int64_t image; /* bytes per image, of a value in the arena, x or y; 0: it lies in its stretch's own memory */
} fn_place;

typedef struct {
    int64_t kind; /* FN_STEP_... */
    fn_place x, add, y;
    int64_t begins, inner; /* begins a stretch, whose own values take `inner` bytes per image */
    int64_t weights; /* at that step: bytes of the largest weights of the stretch, set by fn_plan_ready */
    int64_t first, wide; /* y is channels [first, first + channels) of an array with `wide` */
    int64_t pixels, channels, activation, pooled, map; /* activation: FN_ACTIVATION_...; map: FN_MAP_... */
    double a, b; /* parameters of the map or the activation */
    const void *slopes; /* of prelu */
    fn_conv conv;
    fn_pool pool;
    /* conv: weight, shift, read by fn_plan_set, as slopes are; conv_transpose: weight, bias; norms: mean, inverse_std
     * (double), gamma, beta; moments: eps (double), nothing, gamma, beta; group_norm, response_norm: see engine/step.h;
     * resample, adaptive_max: an fn_axis of rows and one of columns */
    const void *arrays[4];
    fn_fixed_conv fixed; /* made by fn_plan_set */
} fn_step;

typedef struct fn_plan fn_plan;

/* arena: bytes per image. At most `batch` images run at a time. */
fn_plan *fn_plan_new(int dtype, int64_t batch, int64_t arena, int64_t count);
/* The step's arrays must outlive the plan, except a convolution's, which are copied. */
fn_status fn_plan_set(fn_plan *plan, int64_t i, const fn_step *step);
void fn_plan_ready(fn_plan *plan); /* after all steps are set */
fn_status fn_plan_run(const fn_plan *plan, int64_t N, const void *x, void *y); /* from any number of threads */
void fn_plan_free(fn_plan *plan);

/* ---- engine/recording.c: recorded kernel calls ---- */

/* A word of a call's packed arguments; csrc/bindings.py says how each parameter is packed. */
typedef union {
    int64_t i;
    uint64_t u;
    double d;
    void *p;
} fn_word;
typedef fn_status (*fn_call_kernel)(const fn_kernels *k, const fn_word *words);
typedef struct {
    fn_call_kernel run;
    int64_t dtype, first_word, first_reference; /* dtype: of the kernel table */
} fn_call;
/* The word is the address of byte `offset` of an array. */
typedef struct {
    int64_t word, array, offset;
} fn_reference;
typedef enum { FN_DO_ALLOC, FN_DO_CALL, FN_DO_FREE, FN_DO_BEGIN, FN_DO_END } fn_deed;
typedef struct {
    int64_t deed, index; /* of the call, or of the array */
} fn_action;
typedef struct {
    const fn_action *actions;
    const fn_call *calls; /* one more than there are: its first_reference ends the last call's */
    const fn_word *words;
    const fn_reference *references;
    const int64_t *sizes; /* in bytes, of the arrays that the actions allocate */
    int64_t action_count, word_count, given; /* given: arrays before them */
} fn_recording;

/* Run the actions. arrays: addresses; the first `given` are set by the caller, the others by the actions, and those
 * that were not freed belong to the caller. If it fails, all are freed. */
fn_status fn_recording_run(const fn_recording *recording, void **arrays, int64_t array_count);

enum { FN_SUMS_BLOCK = 8192 }; /* the elements of a pair of block_sums */

/* ---- the kernel table: one for each instruction set and dtype, filled by kernels.h ---- */

struct fn_kernels {
    const char *isa;
    int lanes; /* of a vector */
#define KERNEL(type, name, ...) type (*name)(__VA_ARGS__);
#define INNER_KERNEL(type, name, ...) type (*name)(__VA_ARGS__);
#include "kernels.def"
};

#endif
