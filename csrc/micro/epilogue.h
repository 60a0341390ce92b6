/* Applied to a sum before it is stored: y = activation(value*scale + shift + add), each term optional.
 * Needs simd/vec.h.
 */
typedef struct {
    const REAL *scale, *shift; /* one element per output channel; scale needs shift */
    const REAL *add, *out; /* `add` has the layout of `out`, and may be `out` */
    int activation;
    REAL a; /* its parameter */
} epilogue;

INLINE vec load_per_channel(const REAL *numbers, int64_t first, int64_t lanes) {
    return numbers ? load_part(numbers + first, lanes) : (vec){0};
}

/* max(x, 0), NaN stays NaN */
INLINE vec rectify(vec x) { return blend(x <= (vec){0}, (vec){0}, x); }

/* min(max(x, 0), top), NaN stays NaN */
INLINE vec limit(vec x, REAL top) {
    x = rectify(x);
    return blend(x > broadcast(top), broadcast(top), x);
}

/* The larger value; NaN wins, and the first of equals. */
INLINE vec maximum(vec best, vec value) { return blend(~(value <= best) & (best == best), value, best); }

INLINE vec activate(const epilogue *end, vec value) {
    switch (end->activation) {
    case FN_ACTIVATION_relu: return rectify(value);
    case FN_ACTIVATION_leaky_relu: return blend(value > (vec){0}, value, value * broadcast(end->a));
    case FN_ACTIVATION_relu6: return limit(value, 6);
    default: return value;
    }
}

INLINE vec finish(const epilogue *end, vec value, vec scale, vec shift, const REAL *at, int64_t lanes) {
    if (end->scale) value = multiply_add(value, scale, shift);
    else if (end->shift) value += shift;
    if (end->add) value += load_part(end->add + (at - end->out), lanes);
    return activate(end, value);
}

INLINE epilogue epilogue_of(const fn_epilogue *given, int64_t channel, const REAL *out) {
    epilogue end = {NULL, NULL, NULL, out, FN_NO_ACTIVATION, 0};
    if (!given) return end;
    if (given->scale) end.scale = (const REAL *)given->scale + channel;
    if (given->shift) end.shift = (const REAL *)given->shift + channel;
    end.add = given->add;
    end.activation = given->activation;
    end.a = (REAL)given->a;
    return end;
}
