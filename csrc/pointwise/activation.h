/* Elementwise functions and their derivatives; they may work in place. */
typedef struct {
    int64_t n;
    const REAL *in, *saved;
    REAL a, b, *out;
} map_job;

enum { MAP_BLOCK = 16384 };

static void map(int64_t n, double a, double b, const void *in, const void *saved, void *out, double cost,
                fn_task body) {
    map_job job = {n, in, saved, (REAL)a, (REAL)b, out};
    fn_parallel(ceil_div(n, MAP_BLOCK), (double)n * cost / LANES, body, &job);
}

/* name_task: out[i] = formula for each i of a block.  In the formula, `operand` names a vector of in, `saved` a vector
 * of saved, and a and b hold the parameters in each lane. */
#define MAP_TASK(name, operand, formula)                                   \
    static void name##_task(void *context, int64_t task, int thread) {     \
        const map_job *job = context;                                      \
        int64_t i = task * MAP_BLOCK, last = min64(i + MAP_BLOCK, job->n); \
        const vec a = broadcast(job->a), b = broadcast(job->b);            \
        (void)thread, (void)a, (void)b;                                    \
        for (; i < last; i += LANES) {                                     \
            vec operand = load_part(job->in + i, last - i);                \
            vec saved = load_part(job->saved + i, last - i);               \
            (void)saved;                                                   \
            store_part(job->out + i, formula, last - i);                   \
        }                                                                  \
    }

/* name_forward: y from x; name_backward: dx from dy and `saved`, which is x or y.  A cost is the approximate number of
 * operations per element. */
#define MAP(name, y_cost, y_formula, dx_cost, dx_formula)                                                     \
    MAP_TASK(name##_forward, x, y_formula)                                                                    \
    MAP_TASK(name##_backward, dy, dx_formula)                                                                 \
    static void name##_forward(int64_t n, double a, double b, const void *x, void *y) {                       \
        map(n, a, b, x, x, y, y_cost, name##_forward_task);                                                   \
    }                                                                                                         \
    static void name##_backward(int64_t n, double a, double b, const void *dy, const void *saved, void *dx) { \
        map(n, a, b, dy, saved, dx, dx_cost, name##_backward_task);                                           \
    }

static const vec ZERO = {0};

/* max(x, 0); NaN stays NaN.  saved: y */
MAP(relu, 1, rectify(x), 2, blend(saved > ZERO, dy, ZERO))

/* x where x > 0, else a*x.  saved: x */
MAP(leaky_relu, 1, blend(x > ZERO, x, (x * a)), 2, blend(saved > ZERO, dy, (dy * a)))

/* 1 / (1 + e^-x), with e = e^-|x|: 1 / (1 + e) for x >= 0, e / (1 + e) for x < 0.  saved: y */
INLINE vec sigmoid_of(vec x) {
    vec e = exp_of((vec)((mask)x | (mask)broadcast((REAL)-0.0))), one = broadcast(1);
    return blend(x < ZERO, e, one) / (one + e);
}
MAP(sigmoid, 20, sigmoid_of(x), 2, dy * saved * (broadcast(1) - saved))

/* saved: y */
MAP(tanh, 20, tanh_of(x), 2, (dy * (broadcast(1) - saved * saved)))

/* x Phi(x), Phi the normal distribution function: (1 + erf(x / sqrt 2)) / 2.  saved: x */
INLINE vec normal_cdf(vec x) {
    return broadcast((REAL)0.5) * (broadcast(1) + erf_of(x * broadcast((REAL)0.70710678118654752440)));
}
INLINE vec gelu_slope(vec x) { /* Phi(x) + x phi(x) */
    vec density = exp_of(x * x * broadcast((REAL)-0.5));
    return multiply_add(x * density, broadcast((REAL)0.39894228040143267794), normal_cdf(x));
}
MAP(gelu, 60, (x * normal_cdf(x)), 90, (dy * gelu_slope(saved)))

/* x where x > 0, else a (e^x - 1).  saved: x */
MAP(elu, 20, blend(x > ZERO, x, (a * expm1_of(x))), 22, blend(saved > ZERO, dy, dy * a * exp_of(saved)))

/* log(1 + e^(ax)) / a, and x itself where ax > b.  saved: x */
INLINE vec softplus_of(vec x, vec a, vec b) {
    vec z = a * x, t = exp_of((vec)((mask)z | (mask)broadcast((REAL)-0.0)));
    return blend(z > b, x, (rectify(z) + log1p_of(t)) / a);
}
MAP(softplus, 40, softplus_of(x, a, b), 22, blend((saved * a) > b, dy, (dy * sigmoid_of(saved * a))))

INLINE mask between(vec low, vec x, vec high) { return (x > low) & (x < high); }

/* min(max(x, 0), 6).  saved: y */
MAP(relu6, 2, limit(x, 6), 3, blend(between(ZERO, saved, broadcast(6)), dy, ZERO))

/* relu6(x + 3) / 6.  saved: x */
MAP(hardsigmoid, 8, (limit(x + broadcast(3), 6) / broadcast(6)), 8,
    blend(between(broadcast(-3), saved, broadcast(3)), dy / broadcast(6), ZERO))

/* x relu6(x + 3) / 6, whose slope from -3 to 3 is (2x + 3) / 6.  saved: x */
INLINE vec hardswish_slope(vec x) {
    vec inside = (x + x + broadcast(3)) / broadcast(6);
    return blend(x <= broadcast(-3), ZERO, blend(x >= broadcast(3), broadcast(1), inside));
}
MAP(hardswish, 9, (x * limit(x + broadcast(3), 6) / broadcast(6)), 9, (dy * hardswish_slope(saved)))
MAP(scale, 1, (x * a), 1, (dy * a))

static void map_forward(fn_map kernel, int64_t n, double a, double b, const void *x, void *y) {
    static const fn_map_forward run[FN_MAPS] = {
#define ELEMENTWISE(name) [FN_MAP_##name] = name##_forward,
#include "kernels.def"
    };
    run[kernel](n, a, b, x, y);
}

static void map_backward(fn_map kernel, int64_t n, double a, double b, const void *dy, const void *saved, void *dx) {
    static const fn_map_backward run[FN_MAPS] = {
#define ELEMENTWISE(name) [FN_MAP_##name] = name##_backward,
#include "kernels.def"
    };
    run[kernel](n, a, b, dy, saved, dx);
}

MAP_TASK(add, x, x + saved)
static void add(int64_t n, const void *a, const void *b, void *y) { map(n, 0, 0, a, b, y, 2, add_task); }
