/* Projective maps and lenses of uint8 images, in integers.
 *
 * maps: 13 numbers for each image.  a to h: the pixel centre (q, p) reads (a q + b p + c, d q + e p + f) /
 * (g q + h p + 1), with 32 bits of fraction; then the distance r from a centre is multiplied by 1 + k1 r^2 + k2 r^4:
 * k1, k2 with 20 bits of fraction, the centre with 32, and the inverse of the radius where r = 1, with 30.  An image
 * has fewer than 2^31 pixels. */
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
    int64_t u[WARP_BLOCK], v[WARP_BLOCK];
    int32_t at[WARP_BLOCK], reads[WARP_BLOCK], right[WARP_BLOCK], below[WARP_BLOCK];
} warp_block;

static void warp_places(const image_job *job, const int64_t *m, int64_t p, int64_t q, int64_t count,
                        warp_block *restrict block) {
    const int32_t more = job->bilinear, H = (int32_t)job->H - more, W = (int32_t)job->W;
    const int64_t half = (int64_t)more << 31;
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
        int32_t row = (int32_t)((uint64_t)block->v[i] >> 32), column = (int32_t)((uint64_t)block->u[i] >> 32);
        int32_t inside = block->reads[i] & (row >= 0) & (row < H) & (column >= 0) & (column < W - more);
        block->at[i] = inside ? row * W + column : -1;
        block->right[i] = (int32_t)((uint64_t)block->u[i] >> (32 - WARP_BITS)) & ((1 << WARP_BITS) - 1);
        block->below[i] = (int32_t)((uint64_t)block->v[i] >> (32 - WARP_BITS)) & ((1 << WARP_BITS) - 1);
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

/* Row p of the image y, (C, P, Q), from the image x, (C, H, W). */
static void warp_row(const image_job *job, const int64_t *m, int64_t p, const uint8_t *x, uint8_t *y) {
    warp_block block;
    for (int64_t q = 0; q < job->Q; q += WARP_BLOCK) {
        int64_t count = min64(job->Q - q, WARP_BLOCK);
        warp_places(job, m, p, q, count, &block);
        for (int64_t c = 0; c < job->C; c++) {
            const uint8_t *plane = x + c * job->H * job->W, fill = job->fill[c];
            uint8_t *to = y + (c * job->P + p) * job->Q + q;
            if (job->bilinear) warp_bilinear(plane, job->H, job->W, fill, count, &block, to);
            else warp_nearest(plane, fill, count, &block, to);
        }
    }
}

static void warp_task(void *context, int64_t task, int thread) {
    const image_job *job = context;
    const int64_t n = task / job->P, size = job->C * job->H * job->W;
    (void)thread;
    warp_row(job, job->where + n * WARP_NUMBERS, task % job->P, job->x + n * size,
             job->y + n * job->C * job->P * job->Q);
}

static void image_warp(int64_t N, int64_t C, int64_t H, int64_t W, int64_t P, int64_t Q, int bilinear,
                       const int64_t *maps, const uint8_t *fill, const uint8_t *x, uint8_t *y) {
    image_job job = {.C = C, .H = H, .W = W, .P = P, .Q = Q, .bilinear = bilinear, .where = maps, .fill = fill};
    job.x = x, job.y = y;
    fn_parallel(N * P, (double)(N * P) * (double)(Q * (8 + 4 * C)), warp_task, &job);
}
