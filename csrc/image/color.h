/* The values of uint8 images (N, C, H, W) in C order: tables, grey, blur. */
typedef struct {
    int64_t C, H, W, R, S;
    const int64_t *rows, *columns;
    const uint8_t *tables, *x;
    uint8_t *y, *scratch;
    int64_t scratch_bytes;
} color_job;

INLINE uint8_t color_clip(int32_t value) { return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value); }

/* 0.2989 r + 0.587 g + 0.114 b, rounded down.  The half keeps the product, whose relative error is below 2^-23, away
 * from integers. */
INLINE int32_t color_gray(int32_t r, int32_t g, int32_t b) {
    return (int32_t)(((float)(2989 * r + 5870 * g + 1140 * b) + 0.5f) * 1e-4f);
}

/* y = tables[plane][x] */
static void lookup_plane(void *context, int64_t task, int thread) {
    const color_job *job = context;
    const uint8_t *table = job->tables + task * 256, *x = job->x + task * job->W;
    uint8_t *y = job->y + task * job->W;
    (void)thread;
    for (int64_t i = 0; i < job->W; i++) y[i] = table[x[i]];
}

static void image_lookup(int64_t planes, int64_t pixels, const uint8_t *tables, const uint8_t *x, uint8_t *y) {
    color_job job = {.W = pixels, .tables = tables, .x = x, .y = y};
    fn_parallel(planes, (double)planes * (double)pixels, lookup_plane, &job);
}

static void gray_image(void *context, int64_t task, int thread) {
    const color_job *job = context;
    const uint8_t *r = job->x + 3 * task * job->W, *g = r + job->W, *b = g + job->W;
    uint8_t *restrict y = job->y + task * job->W;
    (void)thread;
    for (int64_t i = 0; i < job->W; i++) y[i] = (uint8_t)color_gray(r[i], g[i], b[i]);
}

static void image_gray(int64_t N, int64_t pixels, const uint8_t *x, uint8_t *y) {
    color_job job = {.W = pixels, .x = x, .y = y};
    fn_parallel(N, (double)N * (double)pixels, gray_image, &job);
}

INLINE int64_t reflected(int64_t i, int64_t size) { return i < 0 ? -i : i >= size ? 2 * size - 2 - i : i; }

/* Along columns first, to 8 bits of fraction; rows, columns: R and S weights of each image, which add up to 2^16 */
static void blur_plane(void *context, int64_t task, int thread) {
    const color_job *job = context;
    const int64_t H = job->H, W = job->W, R = job->R, S = job->S, left = S / 2;
    const int64_t *down = job->rows + task / job->C * R, *across = job->columns + task / job->C * S;
    uint32_t *restrict sum = (uint32_t *)(job->scratch + thread * job->scratch_bytes);
    uint32_t *restrict padded = sum + W;
    const uint8_t *x = job->x + task * H * W;
    for (int64_t h = 0; h < H; h++) {
        for (int64_t w = 0; w < W; w++) sum[w] = 1 << 7;
        for (int64_t r = 0; r < R; r++) {
            const uint8_t *row = x + reflected(h + r - R / 2, H) * W;
            const uint32_t weight = (uint32_t)down[r];
            for (int64_t w = 0; w < W; w++) sum[w] += weight * row[w];
        }
        for (int64_t w = 0; w < W; w++) padded[w + left] = sum[w] >> 8, sum[w] = 1 << 23;
        for (int64_t s = 0; s < left; s++) {
            padded[s] = padded[left + reflected(s - left, W)];
            padded[left + W + s] = padded[left + reflected(W + s, W)];
        }
        for (int64_t s = 0; s < S; s++) {
            const uint32_t weight = (uint32_t)across[s], *from = padded + s;
            for (int64_t w = 0; w < W; w++) sum[w] += weight * from[w];
        }
        uint8_t *y = job->y + (task * H + h) * W;
        for (int64_t w = 0; w < W; w++) y[w] = (uint8_t)(sum[w] >> 24);
    }
}

static fn_status image_blur(int64_t N, int64_t C, int64_t H, int64_t W, int64_t R, int64_t S, const int64_t *rows,
                            const int64_t *columns, const uint8_t *x, uint8_t *y) {
    int threads = fn_threads();
    color_job job = {.C = C, .H = H, .W = W, .R = R, .S = S, .rows = rows, .columns = columns, .x = x, .y = y};
    job.scratch_bytes = ((int64_t)sizeof(uint32_t) * (2 * W + S) + 63) / 64 * 64;
    job.scratch = fn_alloc((size_t)(threads * job.scratch_bytes), FN_SCRATCH);
    if (!job.scratch) return FN_NO_MEMORY;
    fn_parallel_on(threads, N * C, (double)(N * C) * (double)(H * W) * (double)(R + S) / 4, blur_plane, &job);
    fn_free(job.scratch);
    return FN_OK;
}
