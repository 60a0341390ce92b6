/* Elementwise functions and their derivatives on n adjacent elements, in place or not: layers run them on whole arrays
 * (pointwise/activation.h), convolutions and norms on what they are about to store. Needs simd/vecmath.h.
 *
 * A function computes out[i] from in[i] and saved[i]; a and b are its parameters.
 */
typedef void (*map_function)(int64_t n, REAL a, REAL b, const REAL *in, const REAL *saved, REAL *out);

/* In the formula, `operand` names a vector of in, `saved` a vector of saved, and a and b hold the parameters in each
 * lane. */
#define MAP_FUNCTION(name, operand, formula)                                                       \
    static void name(int64_t n, REAL a_, REAL b_, const REAL *in, const REAL *saved_, REAL *out) { \
        const vec a = broadcast(a_), b = broadcast(b_);                                            \
        (void)a, (void)b;                                                                          \
        for (int64_t i = 0; i < n; i += LANES) {                                                   \
            vec operand = load_part(in + i, n - i);                                                \
            vec saved = load_part(saved_ + i, n - i);                                              \
            (void)saved;                                                                           \
            store_part(out + i, formula, n - i);                                                   \
        }                                                                                          \
    }

/* name_values: y from x; name_slopes: dx from dy and `saved`, which is x or y.  A cost is the approximate number of
 * operations per element. */
#define MAP(name, y_cost, y_formula, dx_cost, dx_formula) \
    MAP_FUNCTION(name##_values, x, y_formula)             \
    MAP_FUNCTION(name##_slopes, dy, dx_formula)           \
    enum { name##_y_cost = y_cost, name##_dx_cost = dx_cost };

/* max(x, 0), NaN stays NaN */
INLINE vec rectify(vec x) { return blend(x <= (vec){0}, (vec){0}, x); }

/* min(max(x, 0), top), NaN stays NaN */
INLINE vec limit(vec x, REAL top) { return at_most(rectify(x), top); }

static const vec ZERO = {0};

/* max(x, 0); NaN stays NaN.  saved: y */
MAP(relu, 1, rectify(x), 2, blend(saved > ZERO, dy, ZERO))

/* x where x > 0, else a*x.  saved: x */
MAP(leaky_relu, 1, blend(x > ZERO, x, (x * a)), 2, blend(saved > ZERO, dy, (dy * a)))

/* 1 / (1 + e^-x), with e = e^-|x|: 1 / (1 + e) for x >= 0, e / (1 + e) for x < 0.  saved: y */
INLINE vec sigmoid_of(vec x) {
    vec e = exp_decay((vec)((mask)x | (mask)broadcast((REAL)-0.0))), one = broadcast(1);
    return blend(x < ZERO, e, one) / (one + e);
}
MAP(sigmoid, 20, sigmoid_of(x), 2, dy * saved * (broadcast(1) - saved))

/* saved: y */
MAP(tanh, 20, tanh_of(x), 2, (dy * (broadcast(1) - saved * saved)))

/* x Phi(x), Phi the normal distribution function; its slope is Phi(x) + x e^(-x^2/2) / sqrt(2 pi).  saved: x */
INLINE vec bell_of(vec x) { return exp_decay(x * x * broadcast((REAL)-0.5)); }
INLINE vec normal_cdf(vec x, vec bell) {
    vec tail = normal_tail((vec)((mask)x & ~(mask)broadcast((REAL)-0.0)), bell);
    return blend(x > ZERO, broadcast(1) - tail, tail);
}
INLINE vec gelu_slope(vec x) {
    vec bell = bell_of(x);
    return multiply_add(x * bell, broadcast((REAL)0.39894228040143267794), normal_cdf(x, bell));
}
MAP(gelu, 50, (x * normal_cdf(x, bell_of(x))), 55, (dy * gelu_slope(saved)))

/* x where x > 0, else a (e^x - 1).  saved: x */
MAP(elu, 20, blend(x > ZERO, x, (a * expm1_of(x))), 22, blend(saved > ZERO, dy, dy * a * exp_decay(saved)))

/* log(1 + e^(ax)) / a, and x itself where ax > b.  saved: x */
INLINE vec softplus_of(vec x, vec a, vec b) {
    vec z = a * x, t = exp_decay((vec)((mask)z | (mask)broadcast((REAL)-0.0)));
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

/* Scaled: l x where x > 0, else l a (e^x - 1), whose slope is y + l a.  saved: y */
#define SELU_SCALE broadcast((REAL)1.0507009873554804934193349852946)
#define SELU_FLOOR broadcast((REAL)(1.0507009873554804934193349852946 * 1.6732632423543772848170429916717))
MAP(selu, 20, blend(x > ZERO, (SELU_SCALE * x), (SELU_FLOOR * expm1_of(x))), 4,
    dy *blend(saved > ZERO, SELU_SCALE, (saved + SELU_FLOOR)))

/* x (1 + tanh u) / 2 = x s(2u), u = sqrt(2 / pi) (x + 0.044715 x^3), s(z) = 1 / (1 + e^-z); its slope is
 * s(2u) + 2 x u' s(2u) s(-2u).  saved: x */
INLINE vec gelu_tanh_twice(vec x) { /* 2u; from |x| = 30 on, its value there, for which s is 0 or 1 */
    vec near = clamp(x, -30, 30);
    return near * multiply_add(near * near, broadcast((REAL)0.07135481627260025), broadcast((REAL)1.5957691216057308));
}
INLINE vec gelu_tanh_slope(vec x) {
    vec near = clamp(x, -30, 30), z = gelu_tanh_twice(x), s = sigmoid_of(z);
    vec rise = multiply_add(near * near, broadcast((REAL)0.2140644488178007), broadcast((REAL)1.5957691216057308));
    return multiply_add(near * rise, s * sigmoid_of(-z), s);
}
MAP(gelu_tanh, 25, (x * sigmoid_of(gelu_tanh_twice(x))), 45, (dy * gelu_tanh_slope(saved)))

/* x s, s = 1 / (1 + e^-x), whose slope is s (1 + x (1 - s)).  saved: x */
INLINE vec silu_slope(vec x) {
    vec s = sigmoid_of(x);
    return s * multiply_add(x, broadcast(1) - s, broadcast(1));
}
MAP(silu, 22, (x * sigmoid_of(x)), 26, (dy * silu_slope(saved)))

/* a x.  saved: y, not used */
MAP(scale, 1, (x * a), 1, (dy * a))

/* The functions and their costs, by FN_MAP_... */
static const struct {
    map_function values, slopes;
    int y_cost, dx_cost;
} maps[FN_MAPS] = {
#define ELEMENTWISE(name) [FN_MAP_##name] = {name##_values, name##_slopes, name##_y_cost, name##_dx_cost},
#include "kernels.def"
};
