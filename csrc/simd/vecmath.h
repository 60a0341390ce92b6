/* Vectorised exp, expm1, Phi, log and powers, so that results do not depend on the C library. Needs simd/vec.h.
 *
 * x = k*ln 2 + r, |r| <= ln(2)/2, with ln 2 in two parts (Cody & Waite 1980): the first has 15 bits (float) or 32 bits
 * (double), so that k times it is exact.  e^r = 1 + r + r^2 s.  In float s is a polynomial fitted to make the error of
 * e^r smallest, 4e-9 of it; in double the Taylor series, whose first omitted term, relative to r, is below 5e-18
 * (r^14/14!).  e^x = 2^k e^r.
 */
#define BY_TYPE(single, twofold) ((REAL)(sizeof(REAL) == 4 ? (single) : (twofold)))

enum { EXPONENT_BIAS = sizeof(REAL) == 4 ? 127 : 1023, MANTISSA_BITS = sizeof(REAL) == 4 ? 23 : 52 };

/* Added to a number, it rounds to an integer k and leaves k + EXPONENT_BIAS in the lowest bits of the sum. */
INLINE vec round_magic(void) { return broadcast(BY_TYPE(0x1.8p23, 0x1.8p52) + EXPONENT_BIAS); }

typedef struct {
    vec rounded, r, s; /* rounded: k + round_magic() */
} exp_parts;

/* x must lie between -1000 and 1000 (float: -200 and 200) or be NaN, which then r and s are too. */
INLINE exp_parts exp_reduced(vec x) {
    static const double fitted[] = {0.49999993437328083, 0.16666520476131635, 0.041668389871571974,
                                    0.008368735756025196, 0.0013814559959448957};
    static const double taylor[] = {
        1.0 / 2,     1.0 / 6,      1.0 / 24,      1.0 / 120,      1.0 / 720,       1.0 / 5040,
        1.0 / 40320, 1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800,
    };
    const double *terms = sizeof(REAL) == 4 ? fitted : taylor;
    const int count = sizeof(REAL) == 4 ? 5 : 12;
    vec rounded = multiply_add(x, broadcast((REAL)1.4426950408889634), round_magic()), k = rounded - round_magic();
    vec r = multiply_add(-k, broadcast(BY_TYPE(0.693145751953125, 0x1.62e42feep-1)), x);
    r = multiply_add(-k, broadcast(BY_TYPE(1.4286068203094173e-06, 1.9082149292705877e-10)), r);
    vec s = broadcast((REAL)terms[count - 1]);
    UNROLL_FOR (int i = count - 2; i >= 0; i--) s = multiply_add(s, r, broadcast((REAL)terms[i]));
    return (exp_parts){rounded, r, s};
}

INLINE vec exp_near(exp_parts x) { /* e^r */
    return multiply_add(multiply_add(x.s, x.r, broadcast(1)), x.r, broadcast(1));
}

/* 2^k for k from -126 to 127 (float), -1022 to 1023 (double). */
INLINE vec power_of_two(exp_parts x) { return (vec)((mask)x.rounded << MANTISSA_BITS); }

INLINE vec clamp(vec x, REAL low, REAL high) { return at_most(at_least(x, low), high); }

/* The power is applied in two halves that never overflow. */
INLINE vec exp_of(vec x) {
    exp_parts parts = exp_reduced(clamp(x, BY_TYPE(-104, -746), BY_TYPE(89, 710)));
    mask bias = broadcast_whole(EXPONENT_BIAS), k = (mask)parts.rounded - (mask)round_magic(), half = k >> 1;
    return exp_near(parts) * (vec)((half + bias) << MANTISSA_BITS) * (vec)((k - half + bias) << MANTISSA_BITS);
}

/* e^x for x <= 0: exp_of's bits, but 0 where they would be subnormal, so that one power of two suffices. */
INLINE vec exp_decay(vec x) {
    const REAL least = BY_TYPE(-87.3365, -708.396);
    exp_parts parts = exp_reduced(at_least(x, least));
    return blend(x < broadcast(least), (vec){0}, exp_near(parts) * power_of_two(parts));
}

/* e^x - 1 for x from -50 to 50: 2^k (e^r - 1) + (2^k - 1), which is accurate near 0; NaN stays NaN. */
INLINE vec expm1_near(vec x) {
    exp_parts parts = exp_reduced(x);
    vec power = power_of_two(parts), p = multiply_add(parts.s, parts.r * parts.r, parts.r);
    return multiply_add(p, power, power - broadcast(1));
}

/* e^x - 1 for x <= 0; 0 above. */
INLINE vec expm1_of(vec x) { return expm1_near(clamp(x, -50, 0)); }

/* tanh |x| = t / (t + 2) with t = e^(2|x|) - 1 */
INLINE vec tanh_of(vec x) {
    const mask sign = (mask)x & (mask)broadcast((REAL)-0.0);
    vec magnitude = (vec)((mask)x ^ sign), t = expm1_near(clamp(magnitude + magnitude, 0, BY_TYPE(24, 48)));
    return (vec)((mask)(t / (t + broadcast(2))) | sign);
}

/* Phi(-u) of the normal distribution for u >= 0, with bell = e^(-u^2/2): bell R(u).  In float R is a polynomial fitted
 * up to 5, from where on 1 - Phi(-u) rounds to 1; the sum is wrong by less than 1e-7.  In double, with y = u / sqrt 2,
 * the rational approximations of Cody 1969: (1 - erf y) / 2, with erf y = y P(y^2) / Q(y^2) up to 0.46875, and
 * 1 - erf y = e^(-y^2) P(y) / Q(y) above, which rounds to 0 beside 1 from 6 on. */
INLINE vec normal_tail_single(vec u, vec bell) {
    static const double fitted[] = {
        0.5,
        -0.3989408153142732,
        0.24997301612298478,
        -0.13280465329125207,
        0.06191850746665919,
        -0.02546340870115764,
        0.00899711468272104,
        -0.0025870623776955304,
        0.0005629092268172215,
        -8.468964352281197e-05,
        7.709217288011663e-06,
        -3.1611286999482884e-07,
    };
    vec near = at_most(u, 5), series = broadcast((REAL)fitted[11]);
    UNROLL_FOR (int i = 10; i >= 0; i--) series = multiply_add(series, near, broadcast((REAL)fitted[i]));
    return bell * series;
}

INLINE vec normal_tail(vec u, vec bell) {
    static const double near_p[] = {1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2,
                                    3.77485237685302021e2, 3.20937758913846947e3};
    static const double near_q[] = {1, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3,
                                    2.84423683343917062e3};
    static const double far_p[] = {2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594,
                                   6.61191906371416295e1,  2.98635138197400131e2,  8.81952221241769090e2,
                                   1.71204761263407058e3,  2.05107837782607147e3,  1.23033935479799725e3};
    static const double far_q[] = {1,
                                   1.57449261107098347e1,
                                   1.17693950891312499e2,
                                   5.37181101862009858e2,
                                   1.62138957456669019e3,
                                   3.29079923573345963e3,
                                   4.36261909014324716e3,
                                   3.43936767414372164e3,
                                   1.23033935480374942e3};
    if (sizeof(REAL) == 4) return normal_tail_single(u, bell);
    vec y = at_most(u * broadcast((REAL)0.70710678118654752440), 6), z = y * y;
    vec p = broadcast((REAL)near_p[0]), q = broadcast((REAL)near_q[0]);
    UNROLL_FOR (int i = 1; i < 5; i++) {
        p = multiply_add(p, z, broadcast((REAL)near_p[i]));
        q = multiply_add(q, z, broadcast((REAL)near_q[i]));
    }
    vec near = broadcast(1) - y * p / q;
    p = broadcast((REAL)far_p[0]);
    q = broadcast((REAL)far_q[0]);
    UNROLL_FOR (int i = 1; i < 9; i++) {
        p = multiply_add(p, y, broadcast((REAL)far_p[i]));
        q = multiply_add(q, y, broadcast((REAL)far_q[i]));
    }
    return broadcast((REAL)0.5) * blend(y > broadcast((REAL)0.46875), bell * p / q, near);
}

/* log (1 + t) for t from 0 to 1 or NaN: 2 artanh s, s = t / (t + 2) <= 1/3; the first omitted term is below 2e-10 of
 * the sum in float, 4e-18 in double. */
INLINE vec log1p_of(vec t) {
    const int terms = sizeof(REAL) == 4 ? 9 : 17;
    vec s = t / (t + broadcast(2)), square = s * s;
    vec series = broadcast((REAL)(1.0 / (2 * terms - 1)));
    UNROLL_FOR (int i = terms - 2; i >= 0; i--)
        series = multiply_add(series, square, broadcast((REAL)(1.0 / (2 * i + 1))));
    return broadcast(2) * s * series;
}

/* log x for x >= 1 or NaN: x = 2^e m, m from sqrt(1/2) to sqrt(2); log m = 2 artanh s = 2 (s + s^3/3 + s^5/5 + ...),
 * s = (m - 1) / (m + 1), |s| < 0.172; the first omitted term is s^24/25, 2e-20. */
INLINE double log_of(double x) {
    int64_t bits;
    if (!(x < INFINITY)) return x;
    memcpy(&bits, &x, sizeof bits);
    int64_t e = ((bits - 0x3FE6A09E667F3BCD) >> 52), mantissa = bits - e * ((int64_t)1 << 52);
    double m, series = 0;
    memcpy(&m, &mantissa, sizeof m);
    double s = (m - 1) / (m + 1), square = s * s, exponent = (double)e;
    for (int i = 23; i >= 3; i -= 2) series = multiply_add_double(series, square, 1.0 / i);
    double small = multiply_add_double(exponent, 1.9082149292705877e-10, 2 * (s * square * series));
    return multiply_add_double(exponent, 0x1.62e42feep-1, small + 2 * s);
}

/* The same of vectors, for normal x > 0; infinity and NaN stay. The first omitted term is below 3e-9 (float), 7e-20
 * (double) of the sum. */
INLINE vec log_each(vec x) {
    const int bits = sizeof(REAL) == 4 ? 23 : 52, most = sizeof(REAL) == 4 ? 9 : 23;
    const mask root = broadcast_whole(sizeof(REAL) == 4 ? 0x3F3504F3 : 0x3FE6A09E667F3BCD), past = (mask)x - root;
    const vec magic = broadcast(BY_TYPE(0x1.8p23, 0x1.8p52)), exponent = (vec)((mask)magic + (past >> bits)) - magic;
    vec m = (vec)((mask)x - (past & broadcast_whole(-((int64_t)1 << bits)))),
        s = (m - broadcast(1)) / (m + broadcast(1)), square = s * s;
    vec series = broadcast((REAL)(1.0 / most));
    UNROLL_FOR (int i = most - 2; i >= 3; i -= 2) series = multiply_add(series, square, broadcast((REAL)(1.0 / i)));
    vec twice = s + s, small = broadcast(BY_TYPE(1.4286068203094173e-06, 1.9082149292705877e-10));
    vec rest = multiply_add(exponent, small, twice * square * series);
    vec value = multiply_add(exponent, broadcast(BY_TYPE(0.693145751953125, 0x1.62e42feep-1)), twice + rest);
    return blend(x < broadcast((REAL)INFINITY), value, x);
}

/* x^p for normal x > 0 */
INLINE vec power_of(vec x, REAL p) { return exp_of(log_each(x) * broadcast(p)); }
