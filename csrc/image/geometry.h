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

/* One value of each of several rows. */
typedef int32_t resize_vec __attribute__((vector_size(VECTOR_BYTES)));
enum { RESIZE_ROWS = VECTOR_BYTES / 4 };

/* The first `count` bytes as a number; 4 are one load. */
INLINE int32_t resize_bytes(const uint8_t *x, int64_t count) {
    if (count >= 4) return (int32_t)(x[0] | (uint32_t)x[1] << 8 | (uint32_t)x[2] << 16 | (uint32_t)x[3] << 24);
    return x[0] | (count > 1 ? x[1] << 8 : 0) | (count > 2 ? x[2] << 16 : 0);
}

/* Along columns, RESIZE_ROWS rows at a time, as vectors.  A table: taps, the first input of each output, the weights of
 * each output. */
static void resize_columns(const int64_t *table, int64_t rows, int64_t width, int64_t stride, int64_t Q,
                           resize_vec *restrict columns, const uint8_t *x, uint8_t *y) {
    const int64_t taps = table[0], *first = table + 1, *weights = first + Q;
    for (int64_t row = 0; row < rows; row += RESIZE_ROWS) {
        for (int64_t w = 0; w < width; w += 4) {
            int64_t at = max64(min64(w, width - 4), 0);
            int32_t bytes[RESIZE_ROWS];
            for (int64_t r = 0; r < RESIZE_ROWS; r++)
                bytes[r] = resize_bytes(x + min64(row + r, rows - 1) * stride + at, width);
            resize_vec four;
            memcpy(&four, bytes, sizeof four);
            for (int64_t i = 0; i < 4 && at + i < width; i++, four >>= 8) columns[at + i] = four & 255;
        }
        for (int64_t q = 0; q < Q; q += 4) {
            int64_t at = max64(min64(q, Q - 4), 0);
            resize_vec four = {0};
            for (int64_t i = 0; i < 4 && at + i < Q; i++) {
                const resize_vec *from = columns + first[at + i];
                const int64_t *weight = weights + (at + i) * taps;
                resize_vec sum = (resize_vec){0} + (1 << (RESIZE_BITS - 1));
                for (int64_t k = 0; k < taps; k++) sum += from[k] * (int32_t)weight[k];
                sum >>= RESIZE_BITS;
                sum = (sum | (sum > 255)) & (sum >= 0) & 255;
                four |= sum << (int32_t)(8 * i);
            }
            uint32_t bytes[RESIZE_ROWS];
            memcpy(bytes, &four, sizeof four);
            for (int64_t r = 0; r < min64(rows - row, RESIZE_ROWS); r++) {
                uint8_t *to = y + (row + r) * Q + at;
                for (int64_t i = 0; i < 4 && at + i < Q; i++) to[i] = (uint8_t)(bytes[r] >> (8 * i));
            }
        }
    }
}

/* Along rows, two taps at a time. */
static void resize_rows(const int64_t *table, int64_t P, int64_t stride, int64_t Q, int32_t *restrict sum,
                        const uint8_t *x, uint8_t *restrict y) {
    const int64_t taps = table[0], *first = table + 1, *weights = first + P;
    for (int64_t p = 0; p < P; p++, y += Q) {
        for (int64_t q = 0; q < Q; q++) sum[q] = 1 << (RESIZE_BITS - 1);
        for (int64_t k = 0; k < taps; k += 2) {
            const uint8_t *a = x + (first[p] + k) * stride, *b = k + 1 < taps ? a + stride : a;
            const int32_t upper = (int32_t)weights[p * taps + k];
            const int32_t lower = k + 1 < taps ? (int32_t)weights[p * taps + k + 1] : 0;
            if (upper | lower)
                for (int64_t q = 0; q < Q; q++) sum[q] += upper * a[q] + lower * b[q];
        }
        for (int64_t q = 0; q < Q; q++) y[q] = resize_round(sum[q]);
    }
}

/* where: top, left, height, width, and the tables' places, along columns and along rows; or -1 */
static void resize_plane(void *context, int64_t task, int thread) {
    const image_job *job = context;
    const int64_t *box = job->where + task / job->C * 6, Q = job->Q;
    resize_vec *columns = (resize_vec *)(job->scratch + thread * job->scratch_bytes);
    int32_t *sum = (int32_t *)(columns + job->W);
    uint8_t *middle = (uint8_t *)(sum + Q), *y = job->y + task * job->P * Q;
    const uint8_t *x = job->x + (task * job->H + box[0]) * job->W + box[1];
    int64_t stride = job->W;
    if (box[4] >= 0) {
        uint8_t *to = box[5] >= 0 ? middle : y;
        resize_columns(job->tables + box[4], box[2], box[3], stride, Q, columns, x, to);
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
    job.scratch_bytes = (W * VECTOR_BYTES + (int64_t)sizeof(int32_t) * Q + H * Q + 63) / 64 * 64;
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
enum { WARP_NUMBERS = 13, WARP_BITS = 11, WARP_BLOCK = 64 };

INLINE int warp_source(const int64_t *m, int64_t p, int64_t q, int64_t *u, int64_t *v) {
    const int64_t one = (int64_t)1 << 32;
    *u = m[0] * q + m[1] * p + m[2] + (m[0] + m[1]) / 2;
    *v = m[3] * q + m[4] * p + m[5] + (m[3] + m[4]) / 2;
    if (m[6] | m[7]) {
        double w = (double)(m[6] * q + m[7] * p + one + (m[6] + m[7]) / 2);
        double across = (double)*u / w, down = (double)*v / w;
        if (!(w > 0 && fabs(across) < 0x1p24 && fabs(down) < 0x1p24)) {
            *u = *v = 0;
            return 0;
        }
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

/* Outputs of a row: where they read, whether they read anything, and the place of their pixels, the upper left one of
 * four, in a plane; -1 outside and at the border. */
typedef struct {
    int64_t u[WARP_BLOCK], v[WARP_BLOCK], at[WARP_BLOCK];
    int32_t reads[WARP_BLOCK], right[WARP_BLOCK], below[WARP_BLOCK];
} warp_block;

static void warp_places(const image_job *job, const int64_t *m, int64_t p, int64_t q, int64_t count,
                        warp_block *restrict block) {
    const int64_t more = job->bilinear, H = job->H - more, W = job->W, half = more << 31;
    if (m[6] | m[7] | m[8] | m[9]) {
        for (int64_t i = 0; i < count; i++) block->reads[i] = warp_source(m, p, q + i, block->u + i, block->v + i);
    } else {
        const int64_t u = m[1] * p + m[2] + (m[0] + m[1]) / 2, v = m[4] * p + m[5] + (m[3] + m[4]) / 2;
        for (int64_t i = 0; i < count; i++) {
            block->u[i] = u + m[0] * (q + i), block->v[i] = v + m[3] * (q + i);
            block->reads[i] = 1;
        }
    }
    for (int64_t i = 0; i < count; i++) {
        block->u[i] -= half, block->v[i] -= half;
        int64_t row = block->v[i] >> 32, column = block->u[i] >> 32;
        int inside = block->reads[i] & (row >= 0) & (row < H) & (column >= 0) & (column < W - more);
        block->at[i] = inside ? row * W + column : -1;
        block->right[i] = (int32_t)(block->u[i] >> (32 - WARP_BITS)) & ((1 << WARP_BITS) - 1);
        block->below[i] = (int32_t)(block->v[i] >> (32 - WARP_BITS)) & ((1 << WARP_BITS) - 1);
    }
}

static void warp_nearest(const uint8_t *plane, uint8_t fill, int64_t count, const warp_block *block, uint8_t *y) {
    for (int64_t i = 0; i < count; i++) y[i] = block->at[i] >= 0 ? plane[block->at[i]] : fill;
}

static void warp_bilinear(const uint8_t *plane, int64_t H, int64_t W, uint8_t fill, int64_t count,
                          const warp_block *block, uint8_t *restrict y) {
    const int32_t one = 1 << WARP_BITS;
    uint32_t pixels[WARP_BLOCK];
    for (int64_t i = 0; i < count; i++) {
        if (block->at[i] >= 0) {
            const uint8_t *upper = plane + block->at[i], *lower = upper + W;
            pixels[i] = (uint32_t)(upper[0] | upper[1] << 8) | (uint32_t)(lower[0] | lower[1] << 8) << 16;
        } else if (block->reads[i]) {
            int64_t row = block->v[i] >> 32, column = block->u[i] >> 32;
            pixels[i] = 0;
            for (int k = 0; k < 4; k++)
                pixels[i] |= (uint32_t)warp_pixel(plane, H, W, row + k / 2, column + k % 2, fill) << (8 * k);
        } else {
            pixels[i] = 0x01010101u * fill;
        }
    }
    for (int64_t i = 0; i < count; i++) {
        int32_t a = pixels[i] & 255, b = pixels[i] >> 8 & 255, c = pixels[i] >> 16 & 255, d = pixels[i] >> 24;
        int32_t right = block->right[i], left = one - right;
        int32_t below = block->below[i], above = one - below;
        int32_t sum = (a * left + b * right) * above + (c * left + d * right) * below;
        y[i] = (uint8_t)((sum + (1 << (2 * WARP_BITS - 1))) >> (2 * WARP_BITS));
    }
}

static void warp_row(void *context, int64_t task, int thread) {
    const image_job *job = context;
    const int64_t n = task / job->P, p = task % job->P, *m = job->where + n * WARP_NUMBERS;
    warp_block block;
    (void)thread;
    for (int64_t q = 0; q < job->Q; q += WARP_BLOCK) {
        int64_t count = min64(job->Q - q, WARP_BLOCK);
        warp_places(job, m, p, q, count, &block);
        for (int64_t c = 0; c < job->C; c++) {
            const uint8_t *plane = job->x + (n * job->C + c) * job->H * job->W, fill = job->fill[c];
            uint8_t *y = job->y + ((n * job->C + c) * job->P + p) * job->Q + q;
            if (job->bilinear) warp_bilinear(plane, job->H, job->W, fill, count, &block, y);
            else warp_nearest(plane, fill, count, &block, y);
        }
    }
}

static void image_warp(int64_t N, int64_t C, int64_t H, int64_t W, int64_t P, int64_t Q, int bilinear,
                       const int64_t *maps, const uint8_t *fill, const uint8_t *x, uint8_t *y) {
    image_job job = {.C = C, .H = H, .W = W, .P = P, .Q = Q, .bilinear = bilinear, .where = maps, .fill = fill};
    job.x = x, job.y = y;
    fn_parallel(N * P, (double)(N * P) * (double)(Q * (8 + 4 * C)), warp_row, &job);
}
