/* Pooling. A task is a few rows of the output, so that each element has one owner. Needs micro/index.h.
 *
 * Vectors run along channels, pixel by pixel. A pixel's last vector may overlap the next pixel: values read there are
 * unused, and values written there are overwritten by the next pixel. Only at the end of an output row or of an input
 * array are vectors partial, with `end - p` lanes.  whole: C is a multiple of LANES, and no vector is partial.
 */
typedef struct {
    const fn_pool *g;
    pool_kind kind;
    int relu;
    const REAL *in, *inverse; /* inverse: 1 / divisor of each window, for the average's gradient */
    REAL *out;
    const void *index;
    void *index_out;
    int64_t rows, rows_per_task;
} pool_job;

INLINE int dilated(const fn_pool *g) { return g->dilation_h > 1 || g->dilation_w > 1; }
INLINE pool_kind max_kind(const fn_pool *g) { return g->R * g->S < 256 ? MAX_BYTES : MAX_WORDS; }

static void pool_run(int threads, pool_job *job, int64_t rows, int64_t row_size, double reads, fn_task body) {
    job->rows = rows;
    job->rows_per_task = max64(1, fn_speed.pool_elements / max64(1, row_size));
    double work = (double)rows * (double)row_size * reads / LANES;
    fn_parallel_on(threads, ceil_div(rows, job->rows_per_task), work, body, job);
}

/* ---- max: y = the maximum of the window's pixels inside the image; the first NaN, else the first of equals ---- */

INLINE void max_window(const pool_job *job, pool_kind kind, const int whole, int64_t S, int64_t down, int64_t right,
                       int64_t r0, int64_t r1, int64_t s0, int64_t s1, const REAL *x, const REAL *x_end, int64_t at,
                       int64_t at_end) {
    /* x: the image's pixel under tap (r0, s0); down, right: the dilation; the windows below are prefetched */
    int64_t C = job->g->C, row_stride = down * job->g->W * C, ahead = job->g->stride_h * job->g->W * C;
    for (int64_t c = 0; c < C; c += LANES) {
        int64_t lanes = whole ? LANES : at_end - at - c;
        vec best = load_part(x + c, whole ? LANES : x_end - x - c);
        __builtin_prefetch(x + c + ahead);
        mask which = broadcast_whole(r0 * S + s0);
        for (int64_t r = r0; r < r1; r++)
            for (int64_t s = s0; s < s1; s++) {
                if (r == r0 && s == s0) continue;
                const REAL *tap = x + (r - r0) * row_stride + (s - s0) * right * C + c;
                vec value = load_part(tap, whole ? LANES : x_end - tap);
                __builtin_prefetch(tap + ahead);
                mask better = ~(value <= best) & (best == best);
                best = blend(better, value, best);
                which = (mask)blend(better, (vec)broadcast_whole(r * S + s), (vec)which);
            }
        if (job->relu) {
            which |= ~(best > (vec){0});
            best = rectify(best);
        }
        store_part(job->out + at + c, best, lanes);
        if (kind != MAX_ALONE) store_index(kind, job->index_out, at + c, which, lanes);
    }
}

INLINE void max_row(const pool_job *job, int64_t row, pool_kind kind, const int whole, int64_t R, int64_t S,
                    int64_t down, int64_t right) {
    const fn_pool *g = job->g;
    const REAL *x_end = job->in + g->N * g->H * g->W * g->C;
    int64_t n = row / g->P, h = row % g->P * g->stride_h - g->pad_top, w = -g->pad_left, r0, r1, s0, s1;
    int64_t end = (row + 1) * g->Q * g->C;
    taps_inside(h, down, g->H, R, &r0, &r1);
    for (int64_t at = row * g->Q * g->C; at < end; at += g->C, w += g->stride_w) {
        taps_inside(w, right, g->W, S, &s0, &s1);
        const REAL *x = job->in + ((n * g->H + h + r0 * down) * g->W + w + s0 * right) * g->C;
        if (r1 - r0 == R && s1 - s0 == S) max_window(job, kind, whole, S, down, right, 0, R, 0, S, x, x_end, at, end);
        else max_window(job, kind, whole, S, down, right, r0, r1, s0, s1, x, x_end, at, end);
    }
}

static void max_task(void *context, int64_t task, int thread) {
    const pool_job *job = context;
    const fn_pool *g = job->g;
    int64_t row = task * job->rows_per_task, last = min64(row + job->rows_per_task, job->rows);
    int of_two = g->R == 2 && g->S == 2 && g->C % LANES == 0;
    (void)thread;
    for (; row < last; row++)
        if (dilated(g)) max_row(job, row, job->kind, 0, g->R, g->S, g->dilation_h, g->dilation_w);
        else if (job->kind == MAX_ALONE && of_two) max_row(job, row, MAX_ALONE, 1, 2, 2, 1, 1);
        else if (job->kind == MAX_ALONE) max_row(job, row, MAX_ALONE, 0, g->R, g->S, 1, 1);
        else if (of_two) max_row(job, row, MAX_BYTES, 1, 2, 2, 1, 1);
        else if (job->kind == MAX_BYTES) max_row(job, row, MAX_BYTES, 0, g->R, g->S, 1, 1);
        else max_row(job, row, MAX_WORDS, 0, g->R, g->S, 1, 1);
}

static void max_pool_run(int threads, const fn_pool *g, const void *x, int relu, void *y, void *index) {
    pool_job job = {
        .g = g, .kind = index ? max_kind(g) : MAX_ALONE, .relu = relu, .in = x, .out = y, .index_out = index};
    pool_run(threads, &job, g->N * g->P, g->Q * g->C, (double)(g->R * g->S), max_task);
}

static fn_status max_pool(const fn_pool *g, const void *x, int relu, void *y, void *index) {
    max_pool_run(fn_threads(), g, x, relu, y, index);
    return FN_OK;
}

/* ---- average: y = sum of the window's pixels inside the image / divisor ---- */

/* How many of `taps` starting at `start` count along one axis: those inside the image, and padding if included, but
 * never the pixels beyond the padding that ceil mode's last windows cover. */
INLINE int64_t count_taps(int64_t start, int64_t taps, int64_t size, int64_t before, int64_t after,
                          int64_t with_padding) {
    int64_t low = with_padding ? -before : 0, high = with_padding ? size + after : size;
    return min64(start + taps, high) - max64(start, low);
}

INLINE REAL divisor(const fn_pool *g, int64_t p, int64_t q) {
    int64_t with = g->count_include_pad;
    if (g->divisor) return (REAL)g->divisor;
    return (REAL)(count_taps(p * g->stride_h - g->pad_top, g->R, g->H, g->pad_top, g->pad_bottom, with) *
                  count_taps(q * g->stride_w - g->pad_left, g->S, g->W, g->pad_left, g->pad_right, with));
}

/* Sum rows x columns pixels into `count` vectors, in runs of AVERAGE_RUN pixels to keep precision in large windows. */
INLINE void sum_window(int count, const REAL *x, int64_t row_stride, int64_t C, int64_t rows, int64_t columns,
                       const REAL *x_end, vec *sum) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t s = 0; s < columns; s += AVERAGE_RUN) {
            int64_t last = min64(s + AVERAGE_RUN, columns);
            vec run[4] = {{0}};
            for (int64_t t = s; t < last; t++)
                for (int v = 0; v < count; v++) {
                    const REAL *from = x + r * row_stride + t * C + v * LANES;
                    run[v] += load_part(from, x_end - from);
                }
            for (int v = 0; v < count; v++) sum[v] += run[v];
        }
}

static void average_task(void *context, int64_t task, int thread) {
    const pool_job *job = context;
    const fn_pool *g = job->g;
    int64_t row = task * job->rows_per_task, last = min64(row + job->rows_per_task, job->rows), C = g->C;
    const REAL *x_end = job->in + g->N * g->H * g->W * C;
    (void)thread;
    for (; row < last; row++) {
        int64_t n = row / g->P, p = row % g->P, h = p * g->stride_h - g->pad_top;
        int64_t r0 = max64(0, -h), r1 = min64(g->R, g->H - h);
        const REAL *y_end = job->out + (row + 1) * g->Q * C;
        for (int64_t q = 0; q < g->Q; q++) {
            int64_t w = q * g->stride_w - g->pad_left, s0 = max64(0, -w), s1 = min64(g->S, g->W - w);
            const REAL *x = job->in + ((n * g->H + h + r0) * g->W + w + s0) * C;
            REAL *y = job->out + (row * g->Q + q) * C;
            const vec over = broadcast(divisor(g, p, q));
            for (int64_t c = 0; c < C;) {
                vec sum[4] = {{0}};
                int count = C - c >= 4 * LANES ? 4 : 1;
                if (count == 4) sum_window(4, x + c, g->W * C, C, r1 - r0, s1 - s0, x_end, sum);
                else sum_window(1, x + c, g->W * C, C, r1 - r0, s1 - s0, x_end, sum);
                for (int v = 0; v < count; v++, c += LANES) store_part(y + c, sum[v] / over, y_end - y - c);
            }
        }
    }
}

static fn_status avg_pool(const fn_pool *g, const void *x, void *y) {
    pool_job job = {.g = g, .kind = AVERAGE, .in = x, .out = y};
    pool_run(fn_threads(), &job, g->N * g->P, g->Q * g->C, (double)(g->R * g->S), average_task);
    return FN_OK;
}

/* ---- gradients: dx = the sum of the shares of dy of all windows (p, q) that contain the pixel, in order ---- */

/* Windows [*first, *last) of `count` contain position `at` of the padded axis. */
INLINE void windows_over(int64_t at, int64_t taps, int64_t stride, int64_t count, int64_t *first, int64_t *last) {
    *first = at < taps ? 0 : (at - taps) / stride + 1;
    *last = min64(count, at / stride + 1);
}

/* dy if tap number `which` was the window's maximum; or, for averages, dy / divisor of window number `which`. */
INLINE vec load_share(const pool_job *job, pool_kind kind, int64_t at, int64_t which, int64_t size) {
    vec dy = load_part(job->in + at, size - at);
    if (kind == AVERAGE) return dy * broadcast(job->inverse[which]);
    return blend(load_index(kind, job->index, at, size - at) == broadcast_whole(which), dy, (vec){0});
}

INLINE void gradient_row(const pool_job *job, int64_t row, pool_kind kind, int64_t R, int64_t S, int64_t stride_h,
                         int64_t stride_w) {
    const fn_pool *g = job->g;
    int64_t n = row / g->H, up = row % g->H + g->pad_top, C = g->C, size = g->N * g->P * g->Q * C, p0, p1;
    REAL *dx = job->out + row * g->W * C;
    const REAL *end = dx + g->W * C;
    windows_over(up, R, stride_h, g->P, &p0, &p1);
    for (int64_t left = g->pad_left; left < g->pad_left + g->W; left++, dx += C) {
        int64_t q0, q1, first, which;
        windows_over(left, S, stride_w, g->Q, &q0, &q1);
        first = ((n * g->P + p0) * g->Q + q0) * C; /* the first window, and the pixel's place in it */
        which = kind == AVERAGE ? p0 * g->Q + q0 : (up - p0 * stride_h) * S + left - q0 * stride_w;
        const int64_t down = kind == AVERAGE ? g->Q : -stride_h * S, right = kind == AVERAGE ? 1 : -stride_w;
        if (p1 - p0 == 1 && q1 - q0 == 1)
            for (int64_t c = 0; c < C; c += LANES) {
                vec only = load_share(job, kind, first + c, which, size);
                store_part(dx + c, only, end - dx - c);
            }
        else
            for (int64_t c = 0; c < C; c += LANES) {
                vec sum = {0};
                for (int64_t i = 0; i < p1 - p0; i++) {
                    int64_t at = first + i * g->Q * C + c, tap = which + i * down;
                    for (int64_t j = q0; j < q1; j++, at += C, tap += right)
                        sum += load_share(job, kind, at, tap, size);
                }
                store_part(dx + c, sum, end - dx - c);
            }
    }
}

/* Windows dilated along an axis contain every stride-th or no pixel, so each tap is asked for its window. */
INLINE int window_of(int64_t at, int64_t stride, int64_t count, int64_t *window) {
    *window = at / stride;
    return at >= 0 && at % stride == 0 && *window < count;
}

static void dilated_gradient_row(const pool_job *job, int64_t row) {
    const fn_pool *g = job->g;
    int64_t n = row / g->H, up = row % g->H + g->pad_top, C = g->C, size = g->N * g->P * g->Q * C, p, q;
    REAL *dx = job->out + row * g->W * C;
    const REAL *end = dx + g->W * C;
    for (int64_t left = g->pad_left; left < g->pad_left + g->W; left++, dx += C)
        for (int64_t c = 0; c < C; c += LANES) {
            vec sum = {0};
            for (int64_t r = g->R - 1; r >= 0; r--) { /* windows in order */
                if (!window_of(up - r * g->dilation_h, g->stride_h, g->P, &p)) continue;
                for (int64_t s = g->S - 1; s >= 0; s--)
                    if (window_of(left - s * g->dilation_w, g->stride_w, g->Q, &q))
                        sum += load_share(job, job->kind, ((n * g->P + p) * g->Q + q) * C + c, r * g->S + s, size);
            }
            store_part(dx + c, sum, end - dx - c);
        }
}

/* 2 x 2 windows that tile the image, whole vectors: one share of dy serves a window's four pixels. An even row of dx
 * and the one below it have the same owner. */
INLINE int windows_tile(const fn_pool *g) {
    return g->R == 2 && g->S == 2 && g->stride_h == 2 && g->stride_w == 2 && !g->pad_top && !g->pad_left &&
           2 * g->P <= g->H && 2 * g->Q <= g->W && g->C % LANES == 0;
}

INLINE void tile_rows(const pool_job *job, int64_t row, const int large) {
    const fn_pool *g = job->g;
    int64_t n = row / g->H, h = row % g->H, C = g->C, line = g->W * C, at = (n * g->P + h / 2) * g->Q * C;
    REAL *dx = job->out + row * line, *end = dx + 2 * g->Q * C;
    if (h >= 2 * g->P) memset(dx, 0, (size_t)line * sizeof(REAL));
    if (h >= 2 * g->P || h & 1) return;
    const int vectors = large ? 64 / VECTOR_BYTES : 1; /* of a cache line, which non-temporal stores fill at once */
    for (; dx < end; dx += C) /* the left pixels; the right ones are skipped */
        for (int64_t c = 0; c < C; c += vectors * LANES, at += vectors * LANES, dx += vectors * LANES)
            UNROLL_FOR (int tap = 0; tap < 4; tap++)
                UNROLL_FOR (int v = 0; v < vectors; v++) {
                    mask which = load_index(MAX_BYTES, job->index, at + v * LANES, LANES);
                    vec share = blend(which == broadcast_whole(tap), load(job->in + at + v * LANES), (vec){0});
                    REAL *to = dx + tap / 2 * line + tap % 2 * C + v * LANES;
                    if (large) store_around(to, share);
                    else store(to, share);
                }
    for (int64_t below = 0; below < 2; below++)
        memset(end + below * line, 0, (size_t)(line - 2 * g->Q * C) * sizeof(REAL));
}

static void gradient_task(void *context, int64_t task, int thread) {
    const pool_job *job = context;
    const fn_pool *g = job->g;
    int64_t row = task * job->rows_per_task, last = min64(row + job->rows_per_task, job->rows);
    int by_two = job->kind != AVERAGE && g->R == 2 && g->S == 2 && g->stride_h == 2 && g->stride_w == 2;
    int tiles = job->kind == MAX_BYTES && !dilated(g) && windows_tile(g);
    int large =
        tiles && is_large(job->out, g->C * (int64_t)sizeof(REAL), job->rows * g->W * g->C * (int64_t)sizeof(REAL));
    (void)thread;
    for (; row < last; row++)
        if (dilated(g)) dilated_gradient_row(job, row);
        else if (job->kind == AVERAGE) gradient_row(job, row, AVERAGE, g->R, g->S, g->stride_h, g->stride_w);
        else if (large) tile_rows(job, row, 1);
        else if (tiles) tile_rows(job, row, 0);
        else if (by_two) gradient_row(job, row, MAX_BYTES, 2, 2, 2, 2);
        else if (job->kind == MAX_BYTES) gradient_row(job, row, MAX_BYTES, g->R, g->S, g->stride_h, g->stride_w);
        else gradient_row(job, row, MAX_WORDS, g->R, g->S, g->stride_h, g->stride_w);
    if (large) store_fence();
}

static void gradient_run(int threads, pool_job *job) {
    const fn_pool *g = job->g;
    double windows = (double)(g->R * g->S) / (double)(g->stride_h * g->stride_w);
    pool_run(threads, job, g->N * g->H, g->W * g->C, 1 + windows, gradient_task);
}

static void max_pool_gradient(int threads, const fn_pool *g, const void *dy, const void *index, void *dx) {
    pool_job job = {.g = g, .kind = max_kind(g), .in = dy, .index = index, .out = dx};
    gradient_run(threads, &job);
}

static fn_status max_pool_backward(const fn_pool *g, const void *dy, const void *index, void *dx) {
    max_pool_gradient(fn_threads(), g, dy, index, dx);
    return FN_OK;
}

static fn_status avg_pool_backward(const fn_pool *g, const void *dy, void *dx) {
    REAL *inverse = fn_alloc((size_t)(g->P * g->Q) * sizeof(REAL), FN_SCRATCH);
    if (!inverse) return FN_NO_MEMORY;
    for (int64_t p = 0; p < g->P; p++)
        for (int64_t q = 0; q < g->Q; q++) inverse[p * g->Q + q] = 1 / divisor(g, p, q);
    pool_job job = {.g = g, .kind = AVERAGE, .in = dy, .inverse = inverse, .out = dx};
    gradient_run(fn_threads(), &job);
    fn_free(inverse);
    return FN_OK;
}
