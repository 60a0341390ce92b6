/* Applied to a sum before it is stored: y = activation(value*scale + shift + add), each term optional.
 * Needs simd/vec.h, micro/map.h.
 */
typedef struct {
    const REAL *scale, *shift, *slopes; /* one element per output channel; scale needs shift; slopes: of prelu */
    const REAL *add, *out; /* `add` has the layout of `out`, and may be `out` */
    REAL *before; /* laid out like `out`: keeps the activation's argument; or NULL */
    int activation;
    REAL a, b; /* its parameters */
    int apart; /* the activation is more than an instruction or two, or its argument is kept */
} epilogue;

INLINE vec load_per_channel(const REAL *numbers, int64_t first, int64_t lanes) {
    return numbers ? load_part(numbers + first, lanes) : (vec){0};
}

/* The larger value; NaN wins, and the first of equals. */
INLINE vec maximum(vec best, vec value) { return blend(~(value <= best) & (best == best), value, best); }

/* x where x > 0, else slope*x */
INLINE vec bend(vec x, vec slope) { return blend(x > (vec){0}, x, (x * slope)); }

/* Activations that are not worth a call. */
INLINE int is_short(int activation) {
    return activation == FN_NO_ACTIVATION || activation == FN_ACTIVATION_relu ||
           activation == FN_ACTIVATION_leaky_relu || activation == FN_ACTIVATION_relu6;
}

INLINE vec activate_shortly(const epilogue *end, vec value) {
    switch (end->activation) {
    case FN_ACTIVATION_relu: return rectify(value);
    case FN_ACTIVATION_leaky_relu: return bend(value, broadcast(end->a));
    case FN_ACTIVATION_relu6: return limit(value, 6);
    default: return value;
    }
}

/* Not inlined: a call is cheap beside the function, and one copy is enough. */
static __attribute__((noinline, cold)) vec activate_apart(const epilogue *end, vec value, vec slope) {
    REAL lanes[LANES];
    if (end->activation == FN_ACTIVATION_prelu) return bend(value, slope);
    if (is_short(end->activation)) return activate_shortly(end, value);
    store(lanes, value);
    maps[end->activation - 1].values(LANES, end->a, end->b, lanes, lanes, lanes);
    return load(lanes);
}

/* slope: prelu's, of the value's channels */
INLINE vec activate(const epilogue *end, vec value, vec slope) {
    return end->apart ? activate_apart(end, value, slope) : activate_shortly(end, value);
}

/* The same for `count` values of the same channels; asks only once whether it is relu. */
INLINE void activate_row(const int count, const epilogue *end, vec *y, vec slope) {
    if (end->apart)
        UNROLL_FOR (int j = 0; j < count; j++) y[j] = activate_apart(end, y[j], slope);
    else if (end->activation == FN_ACTIVATION_relu)
        UNROLL_FOR (int j = 0; j < count; j++) y[j] = rectify(y[j]);
    else if (end->activation != FN_NO_ACTIVATION)
        UNROLL_FOR (int j = 0; j < count; j++) y[j] = activate_shortly(end, y[j]);
}

/* Finish `count` values of the same channels, to be stored at `at` and `pixel` elements apart; only `live` of them are
 * stored. */
INLINE void finish_row(const int count, const int64_t live, const epilogue *end, vec *y, vec scale, vec shift,
                       vec slope, const REAL *at, int64_t pixel, int64_t lanes) {
    if (end->scale)
        UNROLL_FOR (int j = 0; j < count; j++) y[j] = multiply_add(y[j], scale, shift);
    else if (end->shift)
        UNROLL_FOR (int j = 0; j < count; j++) y[j] += shift;
    if (end->add)
        UNROLL_FOR (int j = 0; j < count; j++) {
            if (j >= live) break;
            y[j] += load_part(end->add + (at - end->out) + j * pixel, lanes);
        }
    if (end->before)
        UNROLL_FOR (int j = 0; j < count; j++) {
            if (j >= live) break;
            store_part(end->before + (at - end->out) + j * pixel, y[j], lanes);
        }
    activate_row(count, end, y, slope);
}

INLINE epilogue epilogue_of(const fn_epilogue *given, int64_t channel, const REAL *out) {
    epilogue end = {.out = out};
    if (!given) return end;
    if (given->scale) end.scale = (const REAL *)given->scale + channel;
    if (given->shift) end.shift = (const REAL *)given->shift + channel;
    if (given->slopes) end.slopes = (const REAL *)given->slopes + channel;
    end.add = given->add;
    end.before = given->before;
    end.activation = given->activation;
    end.a = (REAL)given->a;
    end.b = (REAL)given->b;
    end.apart = end.before || !is_short(end.activation);
    return end;
}
