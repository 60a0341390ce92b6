/* Windows of uint8 images (N, C, H, W), in C order, and images of another size.  All arithmetic is in integers, so
 * every instruction set has the same bits. */
typedef struct {
    int64_t C, H, W, P, Q, steps;
    int bilinear;
    const int64_t *where, *tables, *operations;
    const double *strengths;
    const uint8_t *fill, *x;
    uint8_t *y, *scratch;
    int64_t scratch_bytes;
} image_job;

/* ---- windows: at = top, left, flipped vertically, horizontally ---- */

/* y[i] = x[n - 1 - i] */
INLINE void reverse_bytes(int64_t n, const uint8_t *x, uint8_t *restrict y) {
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t bytes;
        memcpy(&bytes, x + n - 8 - i, 8);
        bytes = __builtin_bswap64(bytes);
        memcpy(y + i, &bytes, 8);
    }
    for (; i < n; i++) y[i] = x[n - 1 - i];
}

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
        int64_t begin = at[3] ? job->Q - last : first, count = last - first;
        memset(y, fill, (size_t)begin);
        if (at[3]) reverse_bytes(count, from + first, y + begin);
        else if (count > 0) memcpy(y + begin, from + first, (size_t)count);
        memset(y + begin + count, fill, (size_t)(job->Q - begin - count));
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

INLINE void resize_store(uint8_t *y, uint32_t bytes, int64_t count) {
    if (count >= 4)
        y[0] = (uint8_t)bytes, y[1] = (uint8_t)(bytes >> 8), y[2] = (uint8_t)(bytes >> 16),
        y[3] = (uint8_t)(bytes >> 24);
    else
        for (int64_t i = 0; i < count; i++) y[i] = (uint8_t)(bytes >> (8 * i));
}

/* Along columns, RESIZE_ROWS rows at a time, as vectors.  Pixels are gathered well before they are read as vectors: a
 * load that spans recent stores waits for them.  A table: taps, the first input of each output, the weights of each
 * output. */
static void resize_columns(const int64_t *table, int64_t rows, int64_t width, int64_t stride, int64_t Q,
                           resize_vec *restrict columns, const uint8_t *x, uint8_t *y) {
    const int64_t taps = table[0], *first = table + 1, *weights = first + Q;
    for (int64_t row = 0; row < rows; row += RESIZE_ROWS) {
        for (int64_t w = 0; w < width; w += 4) { /* the first column of four holds all, to be unpacked below */
            int64_t at = max64(min64(w, width - 4), 0);
            for (int64_t r = 0; r < RESIZE_ROWS; r++) {
                int32_t bytes = resize_bytes(x + min64(row + r, rows - 1) * stride + at, width);
                memcpy((char *)(columns + at) + 4 * r, &bytes, 4);
            }
        }
        for (int64_t w = (width - 1) / 4 * 4; w >= 0; w -= 4) {
            int64_t at = max64(min64(w, width - 4), 0);
            resize_vec four = columns[at];
            for (int64_t i = 0; i < 4 && at + i < width; i++, four >>= 8) columns[at + i] = four & 255;
        }
        for (int64_t q = 0; q < Q; q += 4) {
            int64_t at = max64(min64(q, Q - 4), 0), count = min64(Q, 4);
            resize_vec four = {0};
            for (int64_t i = 0; i < count; i++) {
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
            for (int64_t r = 0; r < min64(rows - row, RESIZE_ROWS); r++)
                resize_store(y + (row + r) * Q + at, bytes[r], count);
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
