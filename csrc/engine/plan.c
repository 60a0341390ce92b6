/* Inference plans: the steps of a network, run in sequence in one call.
 *
 * Values between steps are stored in an arena. Offsets and sizes are in bytes per image and scale with N, so one plan
 * takes any number of images; at most `batch` of them run at a time. Each call allocates one block of its own from the
 * caching allocator, for the arena and the largest scratch of any step, so calls from several threads do not interfere.
 */
#include "fastnet.h"
#include "tuning.h"

#include <math.h>
#include <string.h>

const char *const fn_step_names[FN_STEPS] = {
#define STEP(name) [FN_STEP_##name] = #name,
#include "kernels.def"
};

struct fn_plan {
    const fn_kernels *kernels;
    int64_t item, count; /* bytes per element; number of steps */
    int64_t arena, batch; /* bytes per image; the most images that run at a time */
    int64_t x_image, y_image; /* bytes per image */
    int64_t scratch; /* bytes for `batch` images; known only for this number of threads and these SPEED values: */
    int threads;
    int64_t tuned; /* fn_speed.changes */
    fn_step *steps;
};

static int64_t scratch_of(const fn_plan *plan, int64_t N, int threads) {
    int64_t most = 0;
    for (const fn_step *s = plan->steps; s < plan->steps + plan->count; s++) {
        int64_t bytes = 0;
        if (s->kind == FN_STEP_conv) bytes = plan->kernels->conv_fixed_scratch(&s->fixed, N, threads);
        if (s->kind == FN_STEP_moments) bytes = 2 * s->channels * (int64_t)sizeof(double);
        if (bytes > most) most = bytes;
    }
    return (most + 63) / 64 * 64;
}

fn_plan *fn_plan_new(int dtype, int64_t batch, int64_t arena, int64_t x_image, int64_t y_image, int64_t count) {
    fn_plan *plan = fn_alloc(sizeof *plan, FN_ARRAY);
    if (!plan) return NULL;
    *plan = (fn_plan){fn_table(dtype), dtype ? 8 : 4, count, arena, batch, x_image, y_image, 0, 1, 0, NULL};
    plan->steps = fn_alloc((size_t)(count + 1) * sizeof(fn_step), FN_ARRAY);
    if (!plan->steps) {
        fn_free(plan);
        return NULL;
    }
    memset(plan->steps, 0, (size_t)(count + 1) * sizeof(fn_step));
    return plan;
}

void fn_plan_free(fn_plan *plan) {
    if (!plan) return;
    for (int64_t i = 0; i < plan->count; i++) fn_free(plan->steps[i].fixed.prepared);
    fn_free(plan->steps);
    fn_free(plan);
}

fn_status fn_plan_set(fn_plan *plan, int64_t i, const fn_step *step) {
    fn_step *s = plan->steps + i;
    *s = *step;
    if (s->kind != FN_STEP_conv) return FN_OK;
    s->fixed = (fn_fixed_conv){.g = s->conv,
                               .wide = s->wide,
                               .activation = (int)s->activation,
                               .pooled = (int)s->pooled,
                               .a = s->a,
                               .b = s->b};
    s->fixed.g.N = plan->batch;
    s->arrays[0] = s->arrays[1] = s->slopes = NULL; /* the caller may free them after this call */
    return plan->kernels->conv_fix(&s->fixed, step->arrays[0], step->arrays[1], step->slopes);
}

void fn_plan_ready(fn_plan *plan) {
    plan->threads = fn_threads();
    plan->tuned = fn_speed.changes;
    plan->scratch = scratch_of(plan, plan->batch, plan->threads);
}

typedef struct {
    int64_t N;
    char *arena, *x, *y, *scratch;
} plan_call;

static void *at(const plan_call *here, int64_t offset) {
    if (offset == FN_NOWHERE) return NULL;
    return offset == FN_INPUT ? here->x : offset == FN_OUTPUT ? here->y : here->arena + offset * here->N;
}

/* What the step does to its sums before it stores them. */
static fn_epilogue end_of(const fn_step *s, const plan_call *here) {
    return (fn_epilogue){
        .slopes = s->slopes, .add = at(here, s->add), .activation = (int)s->activation, .a = s->a, .b = s->b};
}

/* A batch norm without running statistics: normalises with the mean and the variance of this call's images. */
static fn_status own_moments(const fn_plan *plan, const fn_step *s, const plan_call *here, const fn_epilogue *end,
                             const void *x, void *y) {
    const fn_kernels *k = plan->kernels;
    int64_t C = s->channels;
    double *mean = (double *)here->scratch, *inverse_std = mean + C, eps = *(const double *)s->arrays[0];
    fn_status status = k->norm_moments(here->N, s->pixels, C, x, mean, inverse_std);
    for (int64_t c = 0; c < C; c++) inverse_std[c] = 1 / sqrt(inverse_std[c] + eps);
    if (status != FN_OK) return status;
    fn_norm norm = {here->N, s->pixels, C, mean, inverse_std, s->arrays[2], s->arrays[3], 0};
    return k->norm_apply(&norm, x, end, y);
}

/* arrays: gamma, beta; {images for each image of the network, their pixels, groups, strides of gamma and beta}; {eps}
 */
static fn_status group_norm(const fn_kernels *k, const fn_step *s, int64_t N, const fn_epilogue *end, const void *x,
                            void *y) {
    const int64_t *g = s->arrays[2];
    const double *eps = s->arrays[3];
    return k->group_norm(N * g[0], g[1], s->channels, g[2], g[3], g[4], *eps, x, s->arrays[0], s->arrays[1], end, y,
                         NULL, NULL);
}

static fn_status run_step(const fn_plan *plan, const fn_step *s, const plan_call *here, int threads) {
    const fn_kernels *k = plan->kernels;
    int64_t N = here->N, size = N * s->pixels * s->channels;
    const void *x = at(here, s->x), *add = at(here, s->add);
    void *y = (char *)at(here, s->y) + s->first * plan->item;
    fn_pool pool = s->pool;
    fn_conv conv = s->conv;
    fn_norm norm = {N, s->pixels, s->channels, s->arrays[0], s->arrays[1], s->arrays[2], s->arrays[3], 0};
    const fn_epilogue end = end_of(s, here);
    pool.N = N, conv.N = N;
    switch (s->kind) {
    case FN_STEP_conv: k->conv_run_fixed(&s->fixed, N, threads, x, add, y, here->scratch); return FN_OK;
    case FN_STEP_conv_transpose: return k->conv_transpose(&conv, x, s->arrays[0], s->arrays[1], y);
    case FN_STEP_max_pool: return k->max_pool(&pool, x, s->activation == FN_ACTIVATION_relu, y, NULL);
    case FN_STEP_avg_pool: return k->avg_pool(&pool, x, y);
    case FN_STEP_norm: return k->norm_apply(&norm, x, &end, y);
    case FN_STEP_prelu: return k->prelu(N * s->pixels, s->channels, x, s->slopes, y);
    case FN_STEP_maxout: k->maxout(N * s->pixels, s->channels, (int64_t)s->a, x, y, NULL); return FN_OK;
    case FN_STEP_moments: return own_moments(plan, s, here, &end, x, y);
    case FN_STEP_group_norm: return group_norm(k, s, N, &end, x, y);
    case FN_STEP_response_norm: { /* arrays: {size, alpha, beta, k} */
        const double *given = s->arrays[0];
        return k->response_norm(N * s->pixels, s->channels, (int64_t)given[0], given[1], given[2], given[3], x, y);
    }
    case FN_STEP_map: k->map_forward((fn_map)s->map, size, s->a, s->b, x, y); return FN_OK;
    case FN_STEP_softmax: k->softmax(N * s->pixels, s->channels, s->a != 0, x, y); return FN_OK;
    case FN_STEP_add: k->add(size, x, add, y); return FN_OK;
    case FN_STEP_copy: k->copy_rows(N * s->pixels, s->channels, x, 0, s->channels, y, 0, s->wide); return FN_OK;
    case FN_STEP_flatten: k->to_channels_first(N, s->channels, s->pixels, x, y); return FN_OK;
    case FN_STEP_unflatten: k->to_channels_last(N, s->channels, s->pixels, x, y); return FN_OK;
    case FN_STEP_adaptive_max: k->adaptive_max(N, s->channels, s->arrays[0], s->arrays[1], x, y, NULL); return FN_OK;
    case FN_STEP_resample: k->resample(N, s->channels, s->arrays[0], s->arrays[1], s->a, x, y); return FN_OK;
    case FN_STEP_shuffle: { /* pool.H, pool.W: the smaller image; stride_h: the factor */
        int64_t r = pool.stride_h, channels = s->a != 0 ? s->channels / (r * r) : s->channels;
        k->shuffle_pixels(N, channels, pool.H, pool.W, r, s->a != 0, x, y);
        return FN_OK;
    }
    case FN_STEP_subsample:
        k->subsample(N, s->channels, s->pool.H, s->pool.W, s->pool.stride_h, s->wide, x, y);
        return FN_OK;
    }
    return FN_OK;
}

fn_status fn_plan_run(const fn_plan *plan, int64_t N, const void *x, void *y) {
    if (N == 0) return FN_OK;
    int threads = fn_threads();
    int64_t most = N < plan->batch ? N : plan->batch, rest = N % most;
    int known = most == plan->batch && threads == plan->threads && plan->tuned == fn_speed.changes;
    int64_t scratch = known ? plan->scratch : scratch_of(plan, most, threads);
    if (rest) { /* fewer images may need more scratch, because few tiles make Winograd run by points */
        int64_t more = scratch_of(plan, rest, threads);
        if (more > scratch) scratch = more;
    }
    char *block = fn_alloc((size_t)(most * plan->arena + scratch), FN_SCRATCH);
    fn_status status = block ? FN_OK : FN_NO_MEMORY;
    for (int64_t done = 0; done < N && status == FN_OK; done += most) {
        plan_call here = {N - done < most ? N - done : most, block + scratch, (char *)x + done * plan->x_image,
                          (char *)y + done * plan->y_image, block};
        for (const fn_step *s = plan->steps; s < plan->steps + plan->count && status == FN_OK; s++)
            status = run_step(plan, s, &here, threads);
    }
    fn_free(block);
    return status;
}
