/* The values of uint8 images (N, C, H, W) in C order: tables, histograms, saturation, hue, blur.  Factors have 16 bits
 * of fraction. */
typedef struct {
    int64_t C, H, W, R, S;
    const int64_t *factors, *rows, *columns;
    const uint8_t *tables, *x;
    uint8_t *y, *scratch;
    int64_t scratch_bytes, *counts;
} color_job;

INLINE uint8_t color_clip(int32_t value) { return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value); }
INLINE int32_t color_gray(int32_t r, int32_t g, int32_t b) { return (2989 * r + 5870 * g + 1140 * b) / 10000; }

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

static void histogram_plane(void *context, int64_t task, int thread) {
    const color_job *job = context;
    const uint8_t *x = job->x + task * job->W;
    int64_t *counts = job->counts + task * 256;
    (void)thread;
    memset(counts, 0, 256 * sizeof *counts);
    for (int64_t i = 0; i < job->W; i++) counts[x[i]]++;
}

static void image_histogram(int64_t planes, int64_t pixels, const uint8_t *x, int64_t *counts) {
    color_job job = {.W = pixels, .x = x, .counts = counts};
    fn_parallel(planes, (double)planes * (double)pixels, histogram_plane, &job);
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

/* y = factor*x + (1 - factor)*gray */
static void saturate_image(void *context, int64_t task, int thread) {
    const color_job *job = context;
    const uint8_t *r = job->x + 3 * task * job->W, *g = r + job->W, *b = g + job->W;
    uint8_t *restrict y = job->y + 3 * task * job->W;
    const int32_t factor = (int32_t)job->factors[task], rest = 65536 - factor;
    (void)thread;
    for (int64_t i = 0; i < job->W; i++) {
        int32_t gray = color_gray(r[i], g[i], b[i]) * rest;
        y[i] = color_clip((r[i] * factor + gray) >> 16);
        y[i + job->W] = color_clip((g[i] * factor + gray) >> 16);
        y[i + 2 * job->W] = color_clip((b[i] * factor + gray) >> 16);
    }
}

static void image_saturate(int64_t N, int64_t pixels, const int64_t *factors, const uint8_t *x, uint8_t *y) {
    color_job job = {.W = pixels, .factors = factors, .x = x, .y = y};
    fn_parallel(N, 3 * (double)N * (double)pixels, saturate_image, &job);
}

/* The hue moves by factors / 2^16 sixths of the circle; value and saturation stay. */
static void hue_image(void *context, int64_t task, int thread) {
    static const uint8_t which[3][6] = {{0, 2, 1, 1, 3, 0}, {3, 0, 0, 2, 1, 1}, {1, 1, 3, 0, 0, 2}};
    const color_job *job = context;
    const uint8_t *x = job->x + 3 * task * job->W;
    uint8_t *y = job->y + 3 * task * job->W;
    const int32_t circle = 6 << 16, shift = (int32_t)job->factors[task];
    (void)thread;
    for (int64_t i = 0; i < job->W; i++) {
        int32_t r = x[i], g = x[i + job->W], b = x[i + 2 * job->W];
        int32_t high = r > g ? (r > b ? r : b) : (g > b ? g : b), low = r < g ? (r < b ? r : b) : (g < b ? g : b);
        int32_t span = high - low, across = high == r ? g - b : high == g ? b - r : r - g;
        int32_t hue = (high == r ? 0 : high == g ? 2 << 16 : 4 << 16) + shift + circle;
        if (span) hue += across * 65536 / span;
        while (hue >= circle) hue -= circle;
        int32_t part = hue & 65535, sector = hue >> 16;
        int32_t falls = (high << 16) - span * part, rises = (low << 16) + span * part;
        const int32_t values[4] = {high, low, (falls + (falls >> 8)) >> 16, (rises + (rises >> 8)) >> 16};
        for (int c = 0; c < 3; c++) y[i + c * job->W] = (uint8_t)values[which[c][sector]];
    }
}

static void image_hue(int64_t N, int64_t pixels, const int64_t *factors, const uint8_t *x, uint8_t *y) {
    color_job job = {.W = pixels, .factors = factors, .x = x, .y = y};
    fn_parallel(N, 20 * (double)N * (double)pixels, hue_image, &job);
}

/* y = x + factor*(mean of 3 x 3 pixels, the middle one five times, - x); the border stays */
static void sharpen_plane(void *context, int64_t task, int thread) {
    const color_job *job = context;
    const int64_t H = job->H, W = job->W;
    const uint8_t *x = job->x + task * H * W;
    uint8_t *restrict y = job->y + task * H * W;
    const int32_t factor = (int32_t)job->factors[task / job->C];
    (void)thread;
    memcpy(y, x, (size_t)(H * W));
    for (int64_t h = 1; h + 1 < H; h++) {
        const uint8_t *row = x + h * W, *above = row - W, *below = row + W;
        for (int64_t w = 1; w + 1 < W; w++) {
            int32_t sum = above[w - 1] + above[w] + above[w + 1] + row[w - 1] + 5 * row[w] + row[w + 1] + below[w - 1] +
                          below[w] + below[w + 1];
            int32_t mean = (2 * sum + 13) / 26;
            y[h * W + w] = color_clip((row[w] * 65536 + (mean - row[w]) * factor) >> 16);
        }
    }
}

static void image_sharpen(int64_t N, int64_t C, int64_t H, int64_t W, const int64_t *factors, const uint8_t *x,
                          uint8_t *y) {
    color_job job = {.C = C, .H = H, .W = W, .factors = factors, .x = x, .y = y};
    fn_parallel(N * C, 4 * (double)(N * C) * (double)(H * W), sharpen_plane, &job);
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
