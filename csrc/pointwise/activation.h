/* Activations: y = f(a, b, s) for each element, s a number.  They may work in place. */
typedef struct {
    int64_t n;
    const REAL *a, *b;
    REAL s, *y;
} map_job;

enum { MAP_BLOCK = 16384 };

#define MAP(name, operands, formula)                                                                          \
    static void name##_task(void *context, int64_t task, int thread) {                                        \
        const map_job *job = context;                                                                         \
        int64_t i = task * MAP_BLOCK, last = min64(i + MAP_BLOCK, job->n);                                    \
        const vec s = broadcast(job->s);                                                                      \
        (void)thread, (void)s;                                                                                \
        for (; i < last; i += LANES) {                                                                        \
            vec a = load_part(job->a + i, last - i), b = operands == 2 ? load_part(job->b + i, last - i) : a; \
            (void)b;                                                                                          \
            store_part(job->y + i, formula, last - i);                                                        \
        }                                                                                                     \
    }

static void map(int64_t n, const void *a, const void *b, double s, void *y, double cost, fn_task body) {
    map_job job = {n, a, b, (REAL)s, y};
    fn_parallel(ceil_div(n, MAP_BLOCK), (double)n * cost / LANES, body, &job);
}

/* max(x, 0), NaN stays NaN; dx = dy where y > 0 */
MAP(relu, 1, rectify(a))
static void relu(int64_t n, const void *x, void *y) { map(n, x, x, 0, y, 1, relu_task); }
MAP(relu_backward, 2, blend(b > (vec){0}, a, (vec){0}))
static void relu_backward(int64_t n, const void *dy, const void *y, void *dx) {
    map(n, dy, y, 0, dx, 2, relu_backward_task);
}

/* x where x > 0, else slope * x; dx = dy where x > 0, else slope * dy */
MAP(leaky_relu, 1, blend(a > (vec){0}, a, a *s))
static void leaky_relu(int64_t n, double slope, const void *x, void *y) { map(n, x, x, slope, y, 1, leaky_relu_task); }
MAP(leaky_relu_backward, 2, blend(b > (vec){0}, a, a *s))
static void leaky_relu_backward(int64_t n, double slope, const void *dy, const void *x, void *dx) {
    map(n, dy, x, slope, dx, 2, leaky_relu_backward_task);
}

/* 1 / (1 + e^-x) = (1 or e) / (1 + e) with e = e^-|x| for x >= 0 or x < 0; dx = dy * y * (1 - y) */
INLINE vec sigmoid_of(vec x) {
    vec e = exp_of((vec)((mask)x | (mask)broadcast((REAL)-0.0))), one = broadcast(1);
    return blend(x < (vec){0}, e, one) / (one + e);
}
MAP(sigmoid, 1, sigmoid_of(a))
static void sigmoid(int64_t n, const void *x, void *y) { map(n, x, x, 0, y, 20, sigmoid_task); }
MAP(sigmoid_backward, 2, a * b * (broadcast(1) - b))
static void sigmoid_backward(int64_t n, const void *dy, const void *y, void *dx) {
    map(n, dy, y, 0, dx, 2, sigmoid_backward_task);
}

/* dx = dy * (1 - y^2) */
MAP(hyperbolic_tangent, 1, tanh_of(a))
static void hyperbolic_tangent(int64_t n, const void *x, void *y) { map(n, x, x, 0, y, 20, hyperbolic_tangent_task); }
MAP(tanh_backward, 2, a *(broadcast(1) - b * b))
static void tanh_backward(int64_t n, const void *dy, const void *y, void *dx) {
    map(n, dy, y, 0, dx, 2, tanh_backward_task);
}

MAP(add, 2, a + b)
static void add(int64_t n, const void *a, const void *b, void *y) { map(n, a, b, 0, y, 2, add_task); }
