/* Programs of colours: for each uint8 image up to `steps` operations, which run one after the other while the image is
 * cached.  Arithmetic is in integers, or in floats whose rounding can't change the result, so every instruction set has
 * the same bits.  An operation reads the image x and writes y, which may be the same. */
enum {
    ADJUST_NONE,
    ADJUST_BRIGHTNESS, /* strength * x */
    ADJUST_CONTRAST,   /* strength * x + (1 - strength) * mean of the grey image */
    ADJUST_SATURATION, /* strength * x + (1 - strength) * grey */
    ADJUST_HUE,        /* the hue of HSV + strength, a share of the circle */
    ADJUST_SHARPNESS,  /* strength * x + (1 - strength) * blurred */
    ADJUST_POSTERIZE,  /* the upper `strength` bits */
    ADJUST_SOLARIZE,   /* 255 - x where x >= strength */
    ADJUST_INVERT,
    ADJUST_AUTOCONTRAST,
    ADJUST_EQUALIZE,
    ADJUST_WARP /* strength: the number of a map */
};
enum { ADJUST_BITS = 16, ADJUST_ONE = 1 << ADJUST_BITS };

/* A factor with 16 bits of fraction; beyond 64 it makes no difference. */
INLINE int32_t adjust_fixed(double factor) { return (int32_t)rint(fmin(fmax(factor, -64), 64) * ADJUST_ONE); }

static void adjust_brightness(int64_t n, float factor, const uint8_t *x, uint8_t *y) {
    EACH_FOR(int64_t i = 0; i < n; i++) {
        float value = (float)x[i] * factor;
        y[i] = (uint8_t)(int32_t)(value < 255 ? value : 255);
    }
}

/* y = (factor*x + offset) >> 16 */
static void adjust_line(int64_t n, int32_t factor, int32_t offset, const uint8_t *x, uint8_t *y) {
    EACH_FOR(int64_t i = 0; i < n; i++) y[i] = color_clip((x[i] * factor + offset) >> ADJUST_BITS);
}

static void adjust_contrast(int64_t C, int64_t n, int32_t factor, const uint8_t *x, uint8_t *y) {
    int64_t sum = 0, count = C == 3 ? n : C * n;
    if (C == 3) {
        const uint8_t *g = x + n, *b = g + n;
        for (int64_t i = 0; i < n; i += 4096) { /* a partial sum fits into 32 bits */
            int32_t part = 0;
            for (int64_t j = i; j < min64(i + 4096, n); j++) part += color_gray(x[j], g[j], b[j]);
            sum += part;
        }
    } else {
        for (int64_t i = 0; i < count; i++) sum += x[i];
    }
    int64_t rest = (ADJUST_ONE - factor) * sum, offset = rest / count - (rest % count < 0);
    adjust_line(C * n, factor, (int32_t)offset, x, y);
}

static void adjust_saturation(int64_t n, int32_t factor, const uint8_t *x, uint8_t *y) {
    const uint8_t *g = x + n, *b = g + n;
    const int32_t rest = ADJUST_ONE - factor;
    EACH_FOR(int64_t i = 0; i < n; i++) {
        int32_t gray = color_gray(x[i], g[i], b[i]) * rest;
        int32_t red = x[i] * factor + gray, green = g[i] * factor + gray, blue = b[i] * factor + gray;
        y[i] = color_clip(red >> ADJUST_BITS);
        y[i + n] = color_clip(green >> ADJUST_BITS);
        y[i + 2 * n] = color_clip(blue >> ADJUST_BITS);
    }
}

/* The hue moves by shift / 2^16 sixths of the circle; value and saturation stay. */
static void adjust_hue(int64_t n, int32_t shift, const uint8_t *x, uint8_t *y) {
    const int32_t circle = 6 * ADJUST_ONE;
    EACH_FOR(int64_t i = 0; i < n; i++) {
        int32_t r = x[i], g = x[i + n], b = x[i + 2 * n];
        int32_t high = r > g ? r : g, low = r < g ? r : g;
        high = high > b ? high : b, low = low < b ? low : b;
        int32_t is_r = -(high == r), is_g = -(high == g) & ~is_r, is_b = ~(is_r | is_g), span = high - low;
        int32_t across = ((g - b) & is_r) | ((b - r) & is_g) | ((r - g) & is_b);
        int32_t hue = ((2 * ADJUST_ONE) & is_g) + ((4 * ADJUST_ONE) & is_b) + shift + circle;
        hue += (int32_t)((float)(across * ADJUST_ONE) / (float)(span + !span)); /* no quotient rounds up */
        hue -= circle & -(hue >= circle), hue -= circle & -(hue >= circle);
        int32_t part = hue & (ADJUST_ONE - 1), sector = hue >> ADJUST_BITS;
        int32_t falls = high * ADJUST_ONE - span * part, rises = low * ADJUST_ONE + span * part;
        falls = (falls + (falls >> 8)) >> ADJUST_BITS, rises = (rises + (rises >> 8)) >> ADJUST_BITS;
        int32_t s0 = -(sector == 0), s1 = -(sector == 1), s2 = -(sector == 2), s3 = -(sector == 3), s4 = -(sector == 4),
                s5 = -(sector == 5);
        y[i] = (uint8_t)((high & (s5 | s0)) | (falls & s1) | (low & (s2 | s3)) | (rises & s4));
        y[i + n] = (uint8_t)((high & (s1 | s2)) | (falls & s3) | (low & (s4 | s5)) | (rises & s0));
        y[i + 2 * n] = (uint8_t)((high & (s3 | s4)) | (falls & s5) | (low & (s0 | s1)) | (rises & s2));
    }
}

/* y = x + factor*(mean of 3 x 3 pixels, the middle one five times, - x); the border stays.  y is not x. */
static void adjust_sharpness(int64_t H, int64_t W, int32_t factor, const uint8_t *x, uint8_t *restrict y) {
    enum { BLOCK = 512 };
    const int64_t end = H > 2 && W > 2 ? (H - 1) * W - 1 : 0;
    memcpy(y, x, (size_t)(H * W));
    for (int64_t at = W + 1; at < end; at += BLOCK) { /* one run over all rows, borders included */
        const uint8_t *row = x + at - 1, *above = row - W, *below = row + W;
        const int64_t count = min64(BLOCK, end - at);
        uint16_t sums[BLOCK + 2];
        for (int64_t i = 0; i < count + 2; i++) sums[i] = (uint16_t)(above[i] + row[i] + below[i]);
        for (int64_t i = 0; i < count; i++) {
            int32_t middle = row[i + 1], sum = sums[i] + sums[i + 1] + sums[i + 2] + 4 * middle;
            int32_t mean = (int32_t)(((float)(2 * sum + 13) + 0.5f) * (1 / 26.0f));
            y[at + i] = color_clip((middle * ADJUST_ONE + (mean - middle) * factor) >> ADJUST_BITS);
        }
    }
    for (int64_t h = 1; end && h < H; h++) y[h * W - 1] = x[h * W - 1], y[h * W] = x[h * W];
}

/* 255 - x from `threshold` on */
static void adjust_solarize(int64_t n, int32_t threshold, const uint8_t *x, uint8_t *y) {
    EACH_FOR(int64_t i = 0; i < n; i++) y[i] = x[i] >= threshold ? (uint8_t)~x[i] : x[i];
}

static void adjust_posterize(int64_t n, uint8_t kept, const uint8_t *x, uint8_t *y) {
    EACH_FOR(int64_t i = 0; i < n; i++) y[i] = x[i] & kept;
}

/* (x - low) * 255 / (high - low), rounded down: the half keeps the product away from integers. */
static void adjust_autocontrast(int64_t n, const uint8_t *x, uint8_t *y) {
    uint8_t low = 255, high = 0;
    for (int64_t i = 0; i < n; i++) low = x[i] < low ? x[i] : low, high = x[i] > high ? x[i] : high;
    const float scale = high > low ? 1 / (float)(high - low) : 1, wide = high > low ? 255 : 1;
    const int32_t from = high > low ? low : 0;
    EACH_FOR(int64_t i = 0; i < n; i++) y[i] = (uint8_t)(int32_t)(((float)(x[i] - from) * wide + 0.5f) * scale);
}

/* Pillow's: the values below x, rounded, divided by a 255th of all but those of the largest value.
 * Four histograms, added at the end: neighbouring pixels are often equal, and with one histogram each increment of a
 * count would have to wait until the one before it is stored. */
static void adjust_equalize(int64_t n, const uint8_t *x, uint8_t *y) {
    int64_t counts[4][256] = {{0}}, below = 0, last = 0, i = 0;
    uint8_t table[256];
    for (; i + 4 <= n; i += 4) counts[0][x[i]]++, counts[1][x[i + 1]]++, counts[2][x[i + 2]]++, counts[3][x[i + 3]]++;
    for (; i < n; i++) counts[0][x[i]]++;
    for (int v = 0; v < 256; v++) {
        counts[0][v] += counts[1][v] + counts[2][v] + counts[3][v];
        if (counts[0][v]) last = counts[0][v];
    }
    int64_t step = (n - last) / 255;
    for (int v = 0; v < 256; below += counts[0][v++]) {
        int64_t value = step ? (below + step / 2) / step : v;
        table[v] = (uint8_t)min64(value, 255);
    }
    for (i = 0; i < n; i++) y[i] = table[x[i]];
}

static void adjust_step(const image_job *job, int64_t operation, double strength, const uint8_t *x, uint8_t *y) {
    const int64_t C = job->C, n = job->H * job->W, all = C * n;
    switch (operation) {
    case ADJUST_BRIGHTNESS: adjust_brightness(all, (float)strength, x, y); break;
    case ADJUST_CONTRAST: adjust_contrast(C, n, adjust_fixed(strength), x, y); break;
    case ADJUST_SATURATION: adjust_saturation(n, adjust_fixed(strength), x, y); break;
    case ADJUST_HUE: adjust_hue(n, (int32_t)rint(strength * 6 * ADJUST_ONE), x, y); break;
    case ADJUST_POSTERIZE: adjust_posterize(all, (uint8_t)(256 - (1 << (8 - (int)strength))), x, y); break;
    case ADJUST_SOLARIZE: adjust_solarize(all, (int32_t)ceil(fmin(strength, 256)), x, y); break;
    case ADJUST_INVERT: adjust_solarize(all, 0, x, y); break;
    case ADJUST_WARP:
        for (int64_t p = 0; p < job->H; p++) warp_row(job, job->where + (int64_t)strength * WARP_NUMBERS, p, x, y);
        break;
    default: /* a plane at a time */
        for (int64_t at = 0; at < all; at += n) {
            if (operation == ADJUST_AUTOCONTRAST) adjust_autocontrast(n, x + at, y + at);
            else if (operation == ADJUST_EQUALIZE) adjust_equalize(n, x + at, y + at);
            else adjust_sharpness(job->H, job->W, adjust_fixed(1 - strength), x + at, y + at);
        }
    }
}

static void adjust_image(void *context, int64_t task, int thread) {
    const image_job *job = context;
    const int64_t size = job->C * job->H * job->W;
    uint8_t *y = job->y + task * size, *scratch = job->scratch + thread * job->scratch_bytes;
    const uint8_t *x = job->x + task * size;
    for (int64_t i = task * job->steps; i < (task + 1) * job->steps; i++) {
        int64_t operation = job->operations[i];
        if (operation == ADJUST_NONE) continue;
        if (x == y && (operation == ADJUST_SHARPNESS || operation == ADJUST_WARP)) /* they read neighbours */
            x = memcpy(scratch, y, (size_t)size);
        adjust_step(job, operation, job->strengths[i], x, y);
        x = y;
    }
    if (x != y) memcpy(y, x, (size_t)size);
}

static fn_status image_adjust(int64_t N, int64_t C, int64_t H, int64_t W, int64_t steps, const int64_t *operations,
                              const double *strengths, const int64_t *maps, int bilinear, const uint8_t *fill,
                              const uint8_t *x, uint8_t *y) {
    int threads = fn_threads();
    image_job job = {.C = C, .H = H, .W = W, .P = H, .Q = W, .steps = steps, .bilinear = bilinear, .where = maps};
    job.operations = operations, job.strengths = strengths, job.fill = fill, job.x = x, job.y = y;
    job.scratch_bytes = (C * H * W + 63) / 64 * 64;
    job.scratch = fn_alloc((size_t)(threads * job.scratch_bytes), FN_SCRATCH);
    if (!job.scratch) return FN_NO_MEMORY;
    fn_parallel_on(threads, N, 4 * (double)(N * steps) * (double)(C * H * W), adjust_image, &job);
    fn_free(job.scratch);
    return FN_OK;
}
