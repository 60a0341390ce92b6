/* A step of an inference plan (engine/plan.c) on some of a call's images. */
#include "fastnet.h"

#include <math.h>

/* Images [first, first + N) of the `all` in the arena, which begin at image `done` of x and y. */
typedef struct {
    int64_t done, all, first, N;
    char *arena, *inner, *x, *y, *scratch;
    int threads;
} step_call;

static void *at(const step_call *here, fn_place place) {
    if (place.at == FN_NOWHERE) return NULL;
    if (place.image == 0) return here->inner + place.at * here->N;
    if (place.at >= 0) return here->arena + place.at * here->all + here->first * place.image;
    return (place.at == FN_INPUT ? here->x : here->y) + (here->done + here->first) * place.image;
}

/* What the step does to its sums before it stores them. */
static fn_epilogue end_of(const fn_step *s, const step_call *here) {
    return (fn_epilogue){
        .slopes = s->slopes, .add = at(here, s->add), .activation = (int)s->activation, .a = s->a, .b = s->b};
}

/* A batch norm without running statistics: normalises with the mean and the variance of this call's images. */
static fn_status own_moments(const fn_kernels *k, const fn_step *s, const step_call *here, const fn_epilogue *end,
                             const void *x, void *y) {
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

static fn_status run_step(const fn_kernels *k, int64_t item, const fn_step *s, const step_call *here) {
    int64_t N = here->N, size = N * s->pixels * s->channels;
    const void *x = at(here, s->x), *add = at(here, s->add);
    void *y = (char *)at(here, s->y) + s->first * item;
    fn_pool pool = s->pool;
    fn_conv conv = s->conv;
    fn_norm norm = {N, s->pixels, s->channels, s->arrays[0], s->arrays[1], s->arrays[2], s->arrays[3], 0};
    const fn_epilogue end = end_of(s, here);
    pool.N = N, conv.N = N;
    switch (s->kind) {
    case FN_STEP_conv: k->conv_run_fixed(&s->fixed, N, here->threads, x, add, y, here->scratch); return FN_OK;
    case FN_STEP_conv_transpose: return k->conv_transpose(&conv, x, s->arrays[0], s->arrays[1], y);
    case FN_STEP_max_pool: return k->max_pool(&pool, x, s->activation == FN_ACTIVATION_relu, y, NULL);
    case FN_STEP_avg_pool: return k->avg_pool(&pool, x, y);
    case FN_STEP_norm: return k->norm_apply(&norm, x, &end, y);
    case FN_STEP_prelu: return k->prelu(N * s->pixels, s->channels, x, s->slopes, y);
    case FN_STEP_maxout: k->maxout(N * s->pixels, s->channels, (int64_t)s->a, x, y, NULL); return FN_OK;
    case FN_STEP_moments: return own_moments(k, s, here, &end, x, y);
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
