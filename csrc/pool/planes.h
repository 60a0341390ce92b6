/* Max pooling over planes, for arrays in C order: vectors run along rows, and each plane has one owner. The caller
 * chooses how equal maxima of a window share its gradient; NaN equals NaN.  Needs pool/pool.h.
 */

/* ---- 2 x 2 windows that tile the rows: two vectors of each pixel row per vector of windows ---- */

INLINE int side_by_side(const fn_pool *g) {
    return g->R == 2 && g->S == 2 && g->stride_h == 2 && g->stride_w == 2 && 2 * g->P <= g->H && 2 * g->Q <= g->W &&
           g->pad_top == 0 && g->pad_left == 0 && !dilated(g);
}

INLINE vec larger_lanes(vec held, vec value) { return blend((value <= held) | (held != held), held, value); }
INLINE mask matching_lanes(vec value, vec largest) { return (value == largest) | (value != value); }

INLINE vec swap_pairs(vec v) { /* exchange the two pixels of each window in a row */
    mask swapped;
    for (int i = 0; i < LANES; i++) swapped[i] = i ^ 1;
    return shuffle(v, v, swapped);
}

INLINE void pool_row_pair(int64_t Q, const REAL *top, const REAL *low, REAL *y) {
    mask even, odd;
    for (int i = 0; i < LANES; i++) {
        even[i] = 2 * i;
        odd[i] = 2 * i + 1;
    }
    for (int64_t q = 0; q < Q; q += LANES) {
        vec columns[2];
        for (int i = 0; i < 2; i++) {
            int64_t at = 2 * q + i * LANES;
            columns[i] = larger_lanes(load_part(top + at, 2 * Q - at), load_part(low + at, 2 * Q - at));
        }
        store_part(y + q, larger_lanes(shuffle(columns[0], columns[1], even), shuffle(columns[0], columns[1], odd)),
                   Q - q);
    }
}

INLINE void spread_vector(fn_ties ties, const REAL *top, const REAL *low, vec share, REAL *dtop, REAL *dlow,
                          int64_t lanes) {
    mask odd;
    for (int i = 0; i < LANES; i++) odd[i] = -(i & 1);
    vec a = load_part(top, lanes), b = load_part(low, lanes), largest = larger_lanes(a, b);
    largest = larger_lanes(largest, swap_pairs(largest));
    mask in_a = matching_lanes(a, largest), in_b = matching_lanes(b, largest);
    if (ties == FN_TIES_SPLIT) {
        vec one = broadcast(1), none = {0}, count = blend(in_a, one, none) + blend(in_b, one, none);
        share /= count + swap_pairs(count);
    }
    if (ties == FN_TIES_FIRST) {
        mask beside = (mask)swap_pairs((vec)in_a);
        in_b &= ~(in_a | beside | (odd & (mask)swap_pairs((vec)in_b)));
        in_a &= ~(odd & beside);
    }
    store_part(dtop, (vec)((mask)share & in_a), lanes);
    store_part(dlow, (vec)((mask)share & in_b), lanes);
}

INLINE void unpool_row_pair(fn_ties ties, int64_t Q, const REAL *top, const REAL *low, const REAL *dy, REAL *dtop,
                            REAL *dlow) {
    mask twice[2];
    for (int i = 0; i < LANES; i++) {
        twice[0][i] = i / 2;
        twice[1][i] = LANES / 2 + i / 2;
    }
    for (int64_t q = 0; q < Q; q += LANES) {
        vec share = load_part(dy + q, Q - q);
        for (int i = 0; i < 2; i++) {
            int64_t at = 2 * q + i * LANES;
            spread_vector(ties, top + at, low + at, shuffle(share, share, twice[i]), dtop + at, dlow + at, 2 * Q - at);
        }
    }
}

/* ---- any windows: each tap in turn visits a row of windows ---- */

INLINE REAL larger(REAL held, REAL value) { return (!(value <= held) & (held == held)) ? value : held; }
INLINE int matches(REAL value, REAL largest) { return (value == largest) | (value != value); }

typedef enum { FIND_LARGEST, COUNT_MATCHES, SPREAD, SPREAD_ONCE } tap_pass;

INLINE void visit_taps(tap_pass pass, const fn_pool *g, int64_t p, const REAL *x, REAL *largest, REAL *share,
                       REAL *dx) {
    int64_t up = p * g->stride_h - g->pad_top, r0, r1, q0, q1;
    taps_inside(up, g->dilation_h, g->H, g->R, &r0, &r1);
    for (int64_t r = r0; r < r1; r++)
        for (int64_t s = 0; s < g->S; s++) {
            int64_t left = s * g->dilation_w - g->pad_left, at = (up + r * g->dilation_h) * g->W + left;
            taps_inside(left, g->stride_w, g->W, g->Q, &q0, &q1);
            at += q0 * g->stride_w;
            for (int64_t q = q0; q < q1; q++, at += g->stride_w) {
                if (pass == FIND_LARGEST) largest[q] = larger(largest[q], x[at]);
                else if (pass == COUNT_MATCHES) share[q] += (REAL)matches(x[at], largest[q]);
                else {
                    int here = matches(x[at], largest[q]);
                    dx[at] += here ? share[q] : 0;
                    if (pass == SPREAD_ONCE) share[q] = here ? 0 : share[q];
                }
            }
        }
}

INLINE void find_largest(const fn_pool *g, int64_t p, const REAL *x, REAL *largest) {
    for (int64_t q = 0; q < g->Q; q++) largest[q] = -(REAL)INFINITY;
    visit_taps(FIND_LARGEST, g, p, x, largest, NULL, NULL);
}

INLINE void spread_windows_row(fn_ties ties, const fn_pool *g, int64_t p, const REAL *x, const REAL *dy, REAL *dx,
                               REAL *largest) {
    REAL *share = largest + g->Q;
    find_largest(g, p, x, largest);
    memset(share, 0, (size_t)g->Q * sizeof(REAL));
    if (ties == FN_TIES_SPLIT) visit_taps(COUNT_MATCHES, g, p, x, largest, share, NULL);
    for (int64_t q = 0; q < g->Q; q++) share[q] = ties == FN_TIES_SPLIT ? dy[q] / share[q] : dy[q];
    visit_taps(ties == FN_TIES_FIRST ? SPREAD_ONCE : SPREAD, g, p, x, largest, share, dx);
}

/* ---- a task: a range of planes ---- */

typedef struct {
    const fn_pool *g;
    fn_ties ties;
    const REAL *x, *dy;
    REAL *y, *dx, *scratch; /* scratch: two elements per window of a row, for each thread */
    int64_t planes, planes_per_task;
} plane_job;

static void plane_task(void *context, int64_t task, int thread) {
    const plane_job *job = context;
    const fn_pool *g = job->g;
    int64_t plane = task * job->planes_per_task, last = min64(plane + job->planes_per_task, job->planes);
    (void)thread;
    for (; plane < last; plane++)
        for (int64_t p = 0; p < g->P; p++) {
            const REAL *x = job->x + plane * g->H * g->W;
            REAL *y = job->y + (plane * g->P + p) * g->Q;
            if (side_by_side(g)) pool_row_pair(g->Q, x + 2 * p * g->W, x + (2 * p + 1) * g->W, y);
            else find_largest(g, p, x, y);
        }
}

INLINE void plane_gradient(const plane_job *job, int64_t plane, REAL *scratch, fn_ties ties) {
    const fn_pool *g = job->g;
    int64_t W = g->W, covered = side_by_side(g) ? 2 * g->P : 0;
    const REAL *x = job->x + plane * g->H * W, *dy = job->dy + plane * g->P * g->Q;
    REAL *dx = job->dx + plane * g->H * W;
    memset(dx + covered * W, 0, (size_t)((g->H - covered) * W) * sizeof(REAL));
    for (int64_t p = 0; p < g->P; p++, dy += g->Q) {
        int64_t top = 2 * p * W, low = top + W;
        if (!covered) {
            spread_windows_row(ties, g, p, x, dy, dx, scratch);
            continue;
        }
        unpool_row_pair(ties, g->Q, x + top, x + low, dy, dx + top, dx + low);
        for (int64_t w = 2 * g->Q; w < W; w++) dx[top + w] = dx[low + w] = 0;
    }
}

static void plane_gradient_task(void *context, int64_t task, int thread) {
    const plane_job *job = context;
    int64_t plane = task * job->planes_per_task, last = min64(plane + job->planes_per_task, job->planes);
    REAL *scratch = job->scratch + thread * 2 * job->g->Q;
    for (; plane < last; plane++)
        if (job->ties == FN_TIES_SPLIT) plane_gradient(job, plane, scratch, FN_TIES_SPLIT);
        else if (job->ties == FN_TIES_FIRST) plane_gradient(job, plane, scratch, FN_TIES_FIRST);
        else plane_gradient(job, plane, scratch, FN_TIES_ALL);
}

static void plane_run(int threads, plane_job *job, fn_task body, double passes) {
    const fn_pool *g = job->g;
    double size = (double)(g->H * g->W) + (double)(g->P * g->Q) * (double)(g->R * g->S);
    job->planes = g->N * g->C;
    job->planes_per_task = max64(1, (int64_t)((double)fn_speed.pool_elements / size));
    double work = passes * (double)job->planes * size / LANES;
    fn_parallel_on(threads, ceil_div(job->planes, job->planes_per_task), work, body, job);
}

static fn_status max_pool_planes(const fn_pool *g, const void *x, void *y) {
    plane_job job = {.g = g, .x = x, .y = y};
    plane_run(fn_threads(), &job, plane_task, 1);
    return FN_OK;
}

static fn_status max_pool_planes_backward(const fn_pool *g, fn_ties ties, const void *x, const void *dy, void *dx) {
    plane_job job = {.g = g, .ties = ties, .x = x, .dy = dy, .dx = dx};
    int threads = fn_threads();
    job.scratch = fn_alloc((size_t)(threads * 2 * g->Q) * sizeof(REAL), FN_SCRATCH);
    if (!job.scratch) return FN_NO_MEMORY;
    plane_run(threads, &job, plane_gradient_task, 2);
    fn_free(job.scratch);
    return FN_OK;
}
