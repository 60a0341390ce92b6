/* Elementwise functions and their derivatives, for kernels of whole arrays and for those that end in one.
 *
 * `which` is the same for all threads of a launch, so the switches do not diverge.  a and b are the function's
 * parameters, in the order of its record; the comparisons are written so that NaN stays NaN.
 */
#ifndef FASTNET_ACTIVATIONS_H
#define FASTNET_ACTIVATIONS_H

#include "cuda/dialect.h"

/* In the order of ACTIVATIONS in fastnet/backends/device/elementwise.py. */
enum {
    ACTIVATION_none = -1, /* y = x */
    ACTIVATION_relu,
    ACTIVATION_leaky_relu,
    ACTIVATION_sigmoid,
    ACTIVATION_tanh,
    ACTIVATION_gelu,
    ACTIVATION_elu,
    ACTIVATION_softplus,
    ACTIVATION_relu6,
    ACTIVATION_hardsigmoid,
    ACTIVATION_hardswish,
    ACTIVATION_scale,
    ACTIVATION_selu,
    ACTIVATION_gelu_tanh,
    ACTIVATION_silu
};

#define SELU_SCALE 1.0507009873554804934193349852946
#define SELU_FLOOR (SELU_SCALE * 1.6732632423543772848170429916717)

DEVICE real at_most(real x, real high) { return x > high ? high : x; }
DEVICE real at_least(real x, real low) { return x < low ? low : x; }
DEVICE real rectify(real x) { return x <= 0 ? (real)0 : x; }
DEVICE real relu6_of(real x) { return at_most(rectify(x), 6); }

/* 1 / (1 + e^-x) = e^min(x, 0) / (1 + e^-|x|) */
DEVICE real sigmoid_of(real x) {
    real e = exp(-fabs(x));
    return (x < 0 ? e : (real)1) / (1 + e);
}

/* The normal distribution's Phi, which erfc keeps accurate in the left tail. */
DEVICE real normal_cdf(real x) { return (real)0.5 * erfc(x * (real)-0.70710678118654752440); }

/* log(1 + e^ax) / a, and x itself where ax > b */
DEVICE real softplus_of(real x, real a, real b) {
    real z = a * x;
    return z > b ? x : (rectify(z) + log1p(exp(-fabs(z)))) / a;
}

/* GELU's approximation is x s(z) for the sigmoid s, z = 2 sqrt(2/pi) (x + 0.044715 x^3). From |x| = 30 on, s is 0 or 1:
 * x is clamped there, so that its cube does not overflow. */
DEVICE real gelu_tanh_twice(real near) {
    return near * fma(near * near, (real)0.07135481627260025, (real)1.5957691216057308);
}

DEVICE real gelu_tanh_slope(real x) {
    real near = at_least(at_most(x, 30), -30), z = gelu_tanh_twice(near), s = sigmoid_of(z);
    real rise = fma(near * near, (real)0.2140644488178007, (real)1.5957691216057308); /* z' */
    return fma(near * rise, s * sigmoid_of(-z), s);
}

DEVICE real hardswish_slope(real x) {
    if (x <= -3) return 0;
    return x >= 3 ? (real)1 : (x + x + 3) / 6;
}

DEVICE real silu_slope(real x) {
    real s = sigmoid_of(x);
    return s * fma(x, 1 - s, (real)1);
}

/* y */
DEVICE real activation(Int which, real x, real a, real b) {
    switch ((int)which) {
    case ACTIVATION_relu: return rectify(x);
    case ACTIVATION_leaky_relu: return x > 0 ? x : x * a;
    case ACTIVATION_sigmoid: return sigmoid_of(x);
    case ACTIVATION_tanh: return tanh(x);
    case ACTIVATION_gelu: return x * normal_cdf(x);
    case ACTIVATION_elu: return x > 0 ? x : a * expm1(x);
    case ACTIVATION_softplus: return softplus_of(x, a, b);
    case ACTIVATION_relu6: return relu6_of(x);
    case ACTIVATION_hardsigmoid: return relu6_of(x + 3) / 6;
    case ACTIVATION_hardswish: return x * relu6_of(x + 3) / 6;
    case ACTIVATION_scale: return x * a;
    case ACTIVATION_selu: return x > 0 ? (real)SELU_SCALE * x : (real)SELU_FLOOR * expm1(x);
    case ACTIVATION_gelu_tanh: return x * sigmoid_of(gelu_tanh_twice(at_least(at_most(x, 30), -30)));
    case ACTIVATION_silu: return x * sigmoid_of(x);
    default: return x;
    }
}

/* dx; saved: x or y, whichever the function's record saves (not read if it needs neither) */
DEVICE real activation_gradient(Int which, real dy, real saved, real a, real b) {
    switch ((int)which) {
    case ACTIVATION_relu: return saved > 0 ? dy : (real)0;
    case ACTIVATION_leaky_relu: return saved > 0 ? dy : dy * a;
    case ACTIVATION_sigmoid: return dy * saved * (1 - saved);
    case ACTIVATION_tanh: return dy * (1 - saved * saved);
    case ACTIVATION_gelu:
        return dy * fma(saved * exp((real)-0.5 * saved * saved), (real)0.39894228040143267794, normal_cdf(saved));
    case ACTIVATION_elu: return saved > 0 ? dy : dy * a * exp(saved);
    case ACTIVATION_softplus: return saved * a > b ? dy : dy * sigmoid_of(saved * a);
    case ACTIVATION_relu6: return saved > 0 && saved < 6 ? dy : (real)0;
    case ACTIVATION_hardsigmoid: return saved > -3 && saved < 3 ? dy / 6 : (real)0;
    case ACTIVATION_hardswish: return dy * hardswish_slope(saved);
    case ACTIVATION_scale: return dy * a;
    case ACTIVATION_selu: return dy * (saved > 0 ? (real)SELU_SCALE : saved + (real)SELU_FLOOR);
    case ACTIVATION_gelu_tanh: return dy * gelu_tanh_slope(saved);
    case ACTIVATION_silu: return dy * silu_slope(saved);
    default: return dy;
    }
}

#endif
