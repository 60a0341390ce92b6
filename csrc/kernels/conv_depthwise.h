/* Depthwise convolution, groups == C == K: each channel with its own R x S filter, vectorised over channels. */

INLINE int is_depthwise(const fn_conv *g) { return g->groups == g->C && g->K == g->C && g->C > 1; }

typedef struct {
    const fn_conv *g;
    const REAL *x, *w, *dy; /* w: taps (R*S, C) */
    epilogue end;
    REAL *y, *dw;                  /* y is dx when gradients flow back; dw: a partial sum (R*S, C) for each part */
    int64_t parts;
} depthwise_job;

/* Taps r of [0, taps) for which start + r*step lies in [0, size): [*from, *to). */
INLINE void taps_inside(int64_t start, int64_t step, int64_t size, int64_t taps, int64_t *from, int64_t *to) {
    *from = start >= 0 ? 0 : min64(taps, ceil_div(-start, step));
    *to = start >= size ? *from : max64(*from, min64(taps, ceil_div(size - start, step)));
}

static void depthwise_row(void *context, int64_t row, int thread) {
    const depthwise_job *job = context;
    const fn_conv *g = job->g;
    int64_t n = row / g->P, p = row % g->P, r0, r1, s0, s1, C = g->C;
    (void)thread;
    taps_inside(p * g->stride_h - g->pad_top, g->dilation_h, g->H, g->R, &r0, &r1);
    for (int64_t q = 0; q < g->Q; q++) {
        taps_inside(q * g->stride_w - g->pad_left, g->dilation_w, g->W, g->S, &s0, &s1);
        REAL *y = job->y + (row * g->Q + q) * C;
        for (int64_t c = 0; c < C; c += LANES) {
            int64_t lanes = C - c;
            vec sum = {0};
            for (int64_t r = r0; r < r1; r++) {
                int64_t h = p * g->stride_h - g->pad_top + r * g->dilation_h;
                const REAL *x = job->x + ((n * g->H + h) * g->W + q * g->stride_w - g->pad_left) * C + c;
                const REAL *w = job->w + r * g->S * C + c;
                for (int64_t s = s0; s < s1; s++)
                    sum += load_part(x + s * g->dilation_w * C, lanes) * load_part(w + s * C, lanes);
            }
            const epilogue *end = &job->end;
            sum = finish(end, sum, channels(end->scale, c, lanes), channels(end->shift, c, lanes), y + c, lanes);
            store_part(y + c, sum, lanes);
        }
    }
}

static void depthwise_gradient_row(void *context, int64_t row, int thread) { /* one row of dx */
    const depthwise_job *job = context;
    const fn_conv *g = job->g;
    int64_t n = row / g->H, h = row % g->H, C = g->C;
    (void)thread;
    for (int64_t w = 0; w < g->W; w++) {
        REAL *dx = job->y + (row * g->W + w) * C;
        for (int64_t c = 0; c < C; c += LANES) {
            int64_t lanes = C - c;
            vec sum = {0};
            for (int64_t r = 0; r < g->R; r++) {
                int64_t up = h + g->pad_top - r * g->dilation_h;
                if (up < 0 || up % g->stride_h || up / g->stride_h >= g->P) continue;
                for (int64_t s = 0; s < g->S; s++) {
                    int64_t left = w + g->pad_left - s * g->dilation_w;
                    if (left < 0 || left % g->stride_w || left / g->stride_w >= g->Q) continue;
                    const REAL *dy = job->dy + ((n * g->P + up / g->stride_h) * g->Q + left / g->stride_w) * C + c;
                    sum += load_part(dy, lanes) * load_part(job->w + (r * g->S + s) * C + c, lanes);
                }
            }
            store_part(dx + c, finish(&job->end, sum, sum, sum, dx + c, lanes), lanes);
        }
    }
}

static void depthwise_weight_part(void *context, int64_t part, int thread) {
    const depthwise_job *job = context;
    const fn_conv *g = job->g;
    int64_t rows = g->N * g->P, C = g->C;
    REAL *dw = job->dw + part * g->R * g->S * C;
    (void)thread;
    memset(dw, 0, (size_t)(g->R * g->S * C) * sizeof(REAL));
    for (int64_t row = rows * part / job->parts; row < rows * (part + 1) / job->parts; row++) {
        int64_t n = row / g->P, p = row % g->P, r0, r1;
        taps_inside(p * g->stride_h - g->pad_top, g->dilation_h, g->H, g->R, &r0, &r1);
        for (int64_t r = r0; r < r1; r++) {
            int64_t h = p * g->stride_h - g->pad_top + r * g->dilation_h;
            const REAL *x = job->x + ((n * g->H + h) * g->W - g->pad_left) * C, *dy = job->dy + row * g->Q * C;
            for (int64_t s = 0; s < g->S; s++) {
                int64_t q0, q1; /* columns whose tap s lies inside */
                taps_inside(s * g->dilation_w - g->pad_left, g->stride_w, g->W, g->Q, &q0, &q1);
                for (int64_t c = 0; c < C; c += LANES) {
                    int64_t lanes = C - c;
                    vec sum = {0};
                    for (int64_t q = q0; q < q1; q++)
                        sum += load_part(x + (q * g->stride_w + s * g->dilation_w) * C + c, lanes) *
                               load_part(dy + q * C + c, lanes);
                    REAL *to = dw + (r * g->S + s) * C + c;
                    store_part(to, load_part(to, lanes) + sum, lanes);
                }
            }
        }
    }
}

/* w of the job as (R*S, C). */
static void depthwise_execute(depthwise_job *job, int64_t rows, fn_task body) {
    const fn_conv *g = job->g;
    fn_parallel(rows, (double)g->N * (double)g->P * (double)g->Q * (double)(g->R * g->S * g->C) / LANES, body, job);
}

static fn_status depthwise_run(depthwise_job *job, const REAL *w, int64_t rows, fn_task body) {
    int64_t taps = job->g->R * job->g->S, C = job->g->C;
    REAL *packed = fn_alloc((size_t)(taps * C) * sizeof(REAL), FN_SCRATCH);
    if (!packed) return FN_NO_MEMORY;
    transpose(C, taps, w, taps, packed, C);
    job->w = packed;
    depthwise_execute(job, rows, body);
    fn_free(packed);
    return FN_OK;
}

static fn_status depthwise_forward(const fn_conv *g, const REAL *x, const REAL *w, const fn_epilogue *end, REAL *y) {
    depthwise_job job = {.g = g, .x = x, .end = epilogue_of(end, 0, y), .y = y};
    return depthwise_run(&job, w, g->N * g->P, depthwise_row);
}

static fn_status depthwise_grad_input(const fn_conv *g, const REAL *dy, const REAL *w, const REAL *add, REAL *dx) {
    depthwise_job job = {.g = g, .dy = dy, .end = {.add = add, .out = dx}, .y = dx};
    return depthwise_run(&job, w, g->N * g->H, depthwise_gradient_row);
}

static fn_status depthwise_grad_weight(const fn_conv *g, const REAL *x, const REAL *dy, REAL *dw) {
    int64_t size = g->R * g->S * g->C;
    depthwise_job job = {.g = g, .x = x, .dy = dy, .parts = max64(1, min64(16, g->N * g->P))};
    job.dw = fn_alloc((size_t)(job.parts * size) * sizeof(REAL), FN_SCRATCH);
    if (!job.dw) return FN_NO_MEMORY;
    fn_parallel(job.parts, (double)(g->N * g->P * g->Q) * (double)size / LANES, depthwise_weight_part, &job);
    sum_parts(job.parts, size, job.dw);
    transpose(g->R * g->S, g->C, job.dw, g->C, dw, g->R * g->S);
    fn_free(job.dw);
    return FN_OK;
}
