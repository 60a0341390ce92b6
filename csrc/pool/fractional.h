/* Fractional max pooling (Graham 2014): windows of each image along an axis, and their maxima.  A span is {first, end}.
 * Needs pointwise/random.h. */
typedef struct {
    uint64_t seed, group; /* group: the number of the one in `numbers`, plus 1 */
    REAL numbers[RANDOM_GROUP];
} number_source;

/* Number `word` of the stream times 2^24, an integer. */
INLINE int64_t number_at(number_source *source, uint64_t word) {
    uint64_t group = word / RANDOM_GROUP + 1;
    if (group != source->group) {
        source->group = group;
        uniform_group(source->seed, (group - 1) * RANDOM_LANES, source->numbers);
    }
    return (int64_t)(source->numbers[word % RANDOM_GROUP] * (REAL)0x1p24);
}

enum { SPAN_ONE = 1 << 24 }; /* the number 1, in units of 2^-24 */

/* floor(i*alpha + shift) - floor(shift) with alpha = extent/steps and shift = u*alpha; u: in units of 2^-24 */
INLINE int64_t pseudo_random_bound(int64_t i, int64_t extent, int64_t steps, int64_t u) {
    return (i * SPAN_ONE + u) * extent / (steps * SPAN_ONE) - u * extent / (steps * SPAN_ONE);
}

/* Boundaries b_0 = 0 to b_steps = extent: pseudo-random ones, or sums of floor(alpha) and ceil(alpha) in random order,
 * or without a position i*alpha, rounded.  Span p is [b_p, b_p + window), and the last begins at extent; or, without a
 * window, [b_p, b_p+1), one longer if they overlap. */
static void fractional_spans(int64_t N, int64_t size, int64_t outputs, int64_t window, int overlapping, int random,
                             uint64_t *position, int64_t *spans) {
    int64_t steps = window ? outputs - 1 : outputs, extent = size - window, words = random ? steps : 1;
    number_source source = {.seed = position ? position[0] : 0};
    uint64_t word =
        position ? __atomic_fetch_add(position + 1, (uint64_t)ceil_div(N * words, 4) * 4, __ATOMIC_RELAXED) : 0;
    for (int64_t n = 0; n < N; n++) {
        int64_t u = random || !position ? 0 : number_at(&source, word++);
        int64_t bound = 0, larger = steps ? extent % steps : 0;
        for (int64_t p = 0; p < outputs; p++, spans += 2) {
            int64_t next = extent;
            if (p < steps && !position) next = (2 * (p + 1) * extent + steps) / (2 * steps);
            else if (p < steps && random) {
                int64_t up = number_at(&source, word++) * (steps - p) < larger * SPAN_ONE;
                next = bound + extent / steps + up, larger -= up;
            } else if (p < steps) next = pseudo_random_bound(p + 1, extent, steps, u);
            spans[0] = p == steps ? extent : bound;
            spans[1] = window ? spans[0] + window : min64(next + overlapping, size);
            bound = next;
        }
    }
}

typedef struct {
    pool_kind kind;
    int64_t N, C, H, W, P, Q, S;
    const int64_t *rows, *columns;
    const REAL *in;
    REAL *out;
    const void *index;
    void *index_out;
} span_job;

/* One row of outputs; index: r*S + s of each maximum in its window. */
static void span_max_row(void *context, int64_t task, int thread) {
    const span_job *job = context;
    const int64_t C = job->C, S = job->S, n = task / job->P, *row = job->rows + 2 * task;
    const int64_t *column = job->columns + 2 * n * job->Q;
    const REAL *image = job->in + n * job->H * job->W * C;
    (void)thread;
    for (int64_t q = 0; q < job->Q; q++, column += 2) {
        int64_t at = (task * job->Q + q) * C;
        const REAL *corner = image + (row[0] * job->W + column[0]) * C;
        for (int64_t c = 0; c < C; c += LANES) {
            vec best = load_part(corner + c, C - c);
            mask which = {0};
            for (int64_t r = 0; r < row[1] - row[0]; r++)
                for (int64_t s = r == 0; s < column[1] - column[0]; s++) {
                    vec value = load_part(corner + (r * job->W + s) * C + c, C - c);
                    mask better = ~(value <= best) & (best == best); /* the first NaN, else the first of equals */
                    best = blend(better, value, best);
                    which = (better & broadcast_whole(r * S + s)) | (~better & which);
                }
            store_part(job->out + at + c, best, C - c);
            if (job->kind == MAX_BYTES) store_index(MAX_BYTES, job->index_out, at + c, which, C - c);
            else store_index(MAX_WORDS, job->index_out, at + c, which, C - c);
        }
    }
}

INLINE void span_gradient_row(const span_job *job, int64_t task, pool_kind kind) {
    int64_t C = job->C, S = job->S, n = task / job->H, h = task % job->H, p0 = 0, q0 = 0, p1, q1;
    const int64_t *rows = job->rows + 2 * n * job->P, *columns = job->columns + 2 * n * job->Q;
    while (p0 < job->P && rows[2 * p0 + 1] <= h) p0++;
    for (p1 = p0; p1 < job->P && rows[2 * p1] <= h;) p1++;
    q1 = 0;
    for (int64_t w = 0; w < job->W; w++) {
        REAL *dx = job->out + (task * job->W + w) * C;
        while (q0 < job->Q && columns[2 * q0 + 1] <= w) q0++;
        for (q1 = max64(q0, q1); q1 < job->Q && columns[2 * q1] <= w;) q1++;
        for (int64_t c = 0; c < C; c += LANES) {
            vec sum = {0};
            for (int64_t p = p0; p < p1; p++)
                for (int64_t q = q0; q < q1; q++) {
                    int64_t at = ((n * job->P + p) * job->Q + q) * C + c;
                    mask tap = broadcast_whole((h - rows[2 * p]) * S + w - columns[2 * q]);
                    vec dy = load_part(job->in + at, C - c);
                    sum += blend(load_index(kind, job->index, at, C - c) == tap, dy, (vec){0});
                }
            store_part(dx + c, sum, C - c);
        }
    }
}

/* One row of pixels: the sum over the windows that contain them, in order. */
static void span_gradient_task(void *context, int64_t task, int thread) {
    const span_job *job = context;
    (void)thread;
    if (job->kind == MAX_BYTES) span_gradient_row(job, task, MAX_BYTES);
    else span_gradient_row(job, task, MAX_WORDS);
}

static void fractional_max(int64_t N, int64_t C, int64_t H, int64_t W, int64_t P, int64_t Q, int64_t R, int64_t S,
                           const int64_t *rows, const int64_t *columns, const void *x, void *y, void *index) {
    span_job job = {
        .kind = R * S < 256 ? MAX_BYTES : MAX_WORDS, .N = N, .C = C, .H = H, .W = W, .P = P, .Q = Q, .S = S};
    job.rows = rows, job.columns = columns, job.in = x, job.out = y, job.index_out = index;
    fn_parallel(N * P, (double)(N * P * Q) * (double)(C * R * S) / LANES, span_max_row, &job);
}

static void fractional_max_backward(int64_t N, int64_t C, int64_t H, int64_t W, int64_t P, int64_t Q, int64_t R,
                                    int64_t S, const int64_t *rows, const int64_t *columns, const void *dy,
                                    const void *index, void *dx) {
    span_job job = {
        .kind = R * S < 256 ? MAX_BYTES : MAX_WORDS, .N = N, .C = C, .H = H, .W = W, .P = P, .Q = Q, .S = S};
    job.rows = rows, job.columns = columns, job.in = dy, job.out = dx, job.index = index;
    fn_parallel(N * H, (double)(N * H * W) * (double)C * 3 / LANES, span_gradient_task, &job);
}
