/* Where the pixels of uint8 images (N, C, H, W), in C order, go: windows, other sizes, projective maps and lenses.  All
 * arithmetic is in integers, so every instruction set has the same bits. */
typedef struct {
    int64_t C, H, W, P, Q;
    int bilinear;
    const int64_t *where, *tables;
    const uint8_t *fill, *x;
    uint8_t *y, *scratch;
    int64_t scratch_bytes;
} image_job;

/* ---- windows: at = top, left, flipped vertically, horizontally ---- */

static void crop_plane(void *context, int64_t task, int thread) {
    const image_job *job = context;
    const int64_t *at = job->where + task / job->C * 4, top = at[0], left = at[1];
    const uint8_t *x = job->x + task * job->H * job->W, fill = job->fill[task % job->C];
    int64_t first = min64(max64(-left, 0), job->Q), last = max64(min64(job->W - left, job->Q), first);
    (void)thread;
    for (int64_t p = 0; p < job->P; p++) {
        int64_t row = top + p;
        uint8_t *y = job->y + (task * job->P + (at[2] ? job->P - 1 - p : p)) * job->Q;
        if (row < 0 || row >= job->H) {
            memset(y, fill, (size_t)job->Q);
            continue;
        }
        const uint8_t *from = x + row * job->W + left;
        if (at[3]) {
            uint8_t *end = y + job->Q - 1;
            for (int64_t q = 0; q < first; q++) end[-q] = fill;
            for (int64_t q = first; q < last; q++) end[-q] = from[q];
            for (int64_t q = last; q < job->Q; q++) end[-q] = fill;
        } else {
            memset(y, fill, (size_t)first);
            if (last > first) memcpy(y + first, from + first, (size_t)(last - first));
            memset(y + last, fill, (size_t)(job->Q - last));
        }
    }
}

static void image_crop(int64_t N, int64_t C, int64_t H, int64_t W, int64_t P, int64_t Q, const int64_t *at,
                       const uint8_t *fill, const uint8_t *x, uint8_t *y) {
    image_job job = {.C = C, .H = H, .W = W, .P = P, .Q = Q, .where = at, .fill = fill, .x = x, .y = y};
    fn_parallel(N * C, (double)(N * C) * (double)(P * Q) / 8, crop_plane, &job);
}

/* ---- another size: Pillow's separable filters, rows first, each pass rounded to 8 bits ---- */

enum { RESIZE_BITS = 22 };

INLINE uint8_t resize_round(int32_t sum) {
    int32_t value = sum >> RESIZE_BITS;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* A table: taps, the first input of each output, the weights of each output. */
static void resize_columns(const int64_t *table, int64_t rows, int64_t stride, int64_t Q, const uint8_t *x,
                           uint8_t *y) {
    const int64_t taps = table[0], *first = table + 1, *weights = first + Q;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t q = 0; q < Q; q++) {
            const uint8_t *from = x + row * stride + first[q];
            int32_t sum = 1 << (RESIZE_BITS - 1);
            for (int64_t k = 0; k < taps; k++) sum += (int32_t)weights[q * taps + k] * from[k];
            y[row * Q + q] = resize_round(sum);
        }
}

static void resize_rows(const int64_t *table, int64_t P, int64_t stride, int64_t Q, int32_t *restrict sum,
                        const uint8_t *x, uint8_t *y) {
    const int64_t taps = table[0], *first = table + 1, *weights = first + P;
    for (int64_t p = 0; p < P; p++, y += Q) {
        for (int64_t q = 0; q < Q; q++) sum[q] = 1 << (RESIZE_BITS - 1);
        for (int64_t k = 0; k < taps; k++) {
            const uint8_t *from = x + (first[p] + k) * stride;
            const int32_t weight = (int32_t)weights[p * taps + k];
            if (weight)
                for (int64_t q = 0; q < Q; q++) sum[q] += weight * from[q];
        }
        for (int64_t q = 0; q < Q; q++) y[q] = resize_round(sum[q]);
    }
}

/* where: top, left, height, width, and the tables' places, along columns and along rows; or -1 */
static void resize_plane(void *context, int64_t task, int thread) {
    const image_job *job = context;
    const int64_t *box = job->where + task / job->C * 6, Q = job->Q;
    int32_t *sum = (int32_t *)(job->scratch + thread * job->scratch_bytes);
    uint8_t *middle = (uint8_t *)(sum + Q), *y = job->y + task * job->P * Q;
    const uint8_t *x = job->x + (task * job->H + box[0]) * job->W + box[1];
    int64_t stride = job->W;
    if (box[4] >= 0) {
        uint8_t *to = box[5] >= 0 ? middle : y;
        resize_columns(job->tables + box[4], box[2], stride, Q, x, to);
        x = to, stride = Q;
    }
    if (box[5] >= 0) resize_rows(job->tables + box[5], job->P, stride, Q, sum, x, y);
    else if (box[4] < 0)
        for (int64_t p = 0; p < job->P; p++) memcpy(y + p * Q, x + p * stride, (size_t)Q);
}

static fn_status image_resize(int64_t N, int64_t C, int64_t H, int64_t W, int64_t P, int64_t Q, const int64_t *boxes,
                              const int64_t *tables, const uint8_t *x, uint8_t *y) {
    int threads = fn_threads();
    image_job job = {.C = C, .H = H, .W = W, .P = P, .Q = Q, .where = boxes, .tables = tables, .x = x, .y = y};
    job.scratch_bytes = ((int64_t)sizeof(int32_t) * Q + H * Q + 63) / 64 * 64;
    job.scratch = fn_alloc((size_t)(threads * job.scratch_bytes), FN_SCRATCH);
    if (!job.scratch) return FN_NO_MEMORY;
    fn_parallel_on(threads, N * C, 2 * (double)(N * C) * (double)((H + P) * Q), resize_plane, &job);
    fn_free(job.scratch);
    return FN_OK;
}

/* ---- projective maps and lenses ---- */

/* where: 13 numbers for each image.  a to h: the pixel centre (q, p) reads (a q + b p + c, d q + e p + f) /
 * (g q + h p + 1), with 32 bits of fraction; then the distance r from a centre is multiplied by 1 + k1 r^2 + k2 r^4:
 * k1, k2 with 20 bits of fraction, the centre with 32, and the inverse of the radius where r = 1, with 30. */
enum { WARP_NUMBERS = 13, WARP_BITS = 11 };

INLINE int warp_source(const int64_t *m, int64_t p, int64_t q, int64_t *u, int64_t *v) {
    const int64_t one = (int64_t)1 << 32;
    *u = m[0] * q + m[1] * p + m[2] + (m[0] + m[1]) / 2;
    *v = m[3] * q + m[4] * p + m[5] + (m[3] + m[4]) / 2;
    if (m[6] | m[7]) {
        double w = (double)(m[6] * q + m[7] * p + one + (m[6] + m[7]) / 2);
        double across = (double)*u / w, down = (double)*v / w;
        if (!(w > 0 && fabs(across) < 0x1p24 && fabs(down) < 0x1p24)) return 0;
        *u = (int64_t)(across * 0x1p32), *v = (int64_t)(down * 0x1p32);
    }
    if (m[8] | m[9]) {
        int64_t du = *u - m[10], dv = *v - m[11], x = ((du >> 16) * m[12]) >> 26, y = ((dv >> 16) * m[12]) >> 26;
        int64_t r = (x * x + y * y) >> 20, factor = (1 << 20) + ((m[8] * r) >> 20) + ((((m[9] * r) >> 20) * r) >> 20);
        *u = m[10] + (((du >> 12) * factor) >> 8), *v = m[11] + (((dv >> 12) * factor) >> 8);
    }
    return 1;
}

INLINE int32_t warp_pixel(const uint8_t *x, int64_t H, int64_t W, int64_t row, int64_t column, uint8_t fill) {
    return row >= 0 && row < H && column >= 0 && column < W ? x[row * W + column] : fill;
}

static void warp_row(void *context, int64_t task, int thread) {
    const image_job *job = context;
    int64_t n = task / job->P, p = task % job->P, H = job->H, W = job->W, Q = job->Q;
    const int64_t *m = job->where + n * WARP_NUMBERS, mask = (1 << WARP_BITS) - 1;
    const uint8_t *x = job->x + n * job->C * H * W;
    uint8_t *y = job->y + (n * job->C * job->P + p) * Q;
    (void)thread;
    for (int64_t q = 0; q < Q; q++) {
        int64_t u, v, step = job->P * Q;
        if (!warp_source(m, p, q, &u, &v)) {
            for (int64_t c = 0; c < job->C; c++) y[c * step + q] = job->fill[c];
        } else if (!job->bilinear) {
            for (int64_t c = 0; c < job->C; c++)
                y[c * step + q] = (uint8_t)warp_pixel(x + c * H * W, H, W, v >> 32, u >> 32, job->fill[c]);
        } else {
            u -= (int64_t)1 << 31, v -= (int64_t)1 << 31;
            int64_t row = v >> 32, column = u >> 32;
            int32_t right = (int32_t)((u >> (32 - WARP_BITS)) & mask), left = (1 << WARP_BITS) - right;
            int32_t below = (int32_t)((v >> (32 - WARP_BITS)) & mask), above = (1 << WARP_BITS) - below;
            int inside = row >= 0 && row + 1 < H && column >= 0 && column + 1 < W;
            for (int64_t c = 0; c < job->C; c++) {
                const uint8_t *plane = x + c * H * W, fill = job->fill[c];
                int32_t a, b, d, e;
                if (inside) {
                    const uint8_t *at = plane + row * W + column;
                    a = at[0], b = at[1], d = at[W], e = at[W + 1];
                } else {
                    a = warp_pixel(plane, H, W, row, column, fill), b = warp_pixel(plane, H, W, row, column + 1, fill);
                    d = warp_pixel(plane, H, W, row + 1, column, fill);
                    e = warp_pixel(plane, H, W, row + 1, column + 1, fill);
                }
                int32_t sum = (a * left + b * right) * above + (d * left + e * right) * below;
                y[c * step + q] = (uint8_t)((sum + (1 << (2 * WARP_BITS - 1))) >> (2 * WARP_BITS));
            }
        }
    }
}

static void image_warp(int64_t N, int64_t C, int64_t H, int64_t W, int64_t P, int64_t Q, int bilinear,
                       const int64_t *maps, const uint8_t *fill, const uint8_t *x, uint8_t *y) {
    image_job job = {.C = C, .H = H, .W = W, .P = P, .Q = Q, .bilinear = bilinear, .where = maps, .fill = fill};
    job.x = x, job.y = y;
    fn_parallel(N * P, (double)(N * P) * (double)(Q * (8 + 4 * C)), warp_row, &job);
}
