/* Philox4x32-10 (Salmon et al. 2011): word i of a stream depends on (seed, i) alone.  Block b holds words 4b to
 * 4b+3. */
typedef struct {
    int64_t n, repeats, width; /* n: numbers; the others: dropout's units */
    uint64_t seed, offset, base; /* base: the offset, rounded down to a group */
    const REAL *x;
    REAL *y, p, scale;
    uint8_t *keep;
} random_job;

enum { RANDOM_LANES = 32, RANDOM_GROUP = 4 * RANDOM_LANES, RANDOM_BLOCK = 64 * RANDOM_GROUP, UNIT_BLOCK = 8192 };

/* From the counters of RANDOM_LANES blocks to their words, in place. */
INLINE void philox(uint64_t key, uint32_t word[4][RANDOM_LANES]) {
    uint32_t key0 = (uint32_t)key, key1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++, key0 += 0x9E3779B9, key1 += 0xBB67AE85)
        for (int i = 0; i < RANDOM_LANES; i++) {
            uint64_t even = (uint64_t)word[0][i] * 0xD2511F53, odd = (uint64_t)word[2][i] * 0xCD9E8D57;
            word[0][i] = (uint32_t)(odd >> 32) ^ word[1][i] ^ key0;
            word[1][i] = (uint32_t)odd;
            word[2][i] = (uint32_t)(even >> 32) ^ word[3][i] ^ key1;
            word[3][i] = (uint32_t)even;
        }
}

/* The words of RANDOM_LANES blocks from `block` on, converted to [0, 1): their upper 24 bits times 2^-24. */
INLINE void uniform_group(uint64_t seed, uint64_t block, REAL *restrict u) {
    uint32_t word[4][RANDOM_LANES];
    for (int i = 0; i < RANDOM_LANES; i++) {
        word[0][i] = (uint32_t)(block + (uint64_t)i), word[1][i] = (uint32_t)((block + (uint64_t)i) >> 32);
        word[2][i] = word[3][i] = 0;
    }
    philox(seed, word);
    for (int i = 0; i < RANDOM_LANES; i++)
        for (int j = 0; j < 4; j++) u[4 * i + j] = (REAL)(int32_t)(word[j][i] >> 8) * (REAL)0x1p-24;
}

/* Groups start at multiples of RANDOM_GROUP words of the stream, so only the first and the last may be partial. */
static void random_task(void *context, int64_t task, int thread) {
    const random_job *job = context;
    uint64_t word = job->base + (uint64_t)task * RANDOM_BLOCK, end = job->offset + (uint64_t)job->n;
    uint64_t last = word + RANDOM_BLOCK < end ? word + RANDOM_BLOCK : end;
    (void)thread;
    for (; word < last; word += RANDOM_GROUP) {
        REAL u[RANDOM_GROUP];
        uniform_group(job->seed, word / 4, u);
        int64_t skip = word < job->offset ? (int64_t)(job->offset - word) : 0,
                at = (int64_t)(word - job->offset) + skip;
        int64_t count = min64(RANDOM_GROUP, (int64_t)(end - word)) - skip;
        if (!job->keep) {
            memcpy(job->y + at, u + skip, (size_t)count * sizeof(REAL));
            continue;
        }
        const REAL *number = u + skip, p = job->p, scale = job->scale;
        uint8_t *restrict keep = job->keep + at;
        for (int64_t i = 0; i < count; i++) keep[i] = number[i] >= p;
        if (!job->x) continue;
        const REAL *x = job->x + at;
        REAL *restrict y = job->y + at;
        for (int64_t i = 0; i < count; i++) y[i] = number[i] >= p ? x[i] * scale : 0;
    }
}

static void random_run(random_job *job) {
    job->base = job->offset / RANDOM_GROUP * RANDOM_GROUP;
    int64_t words = job->n + (int64_t)(job->offset - job->base);
    if (job->n > 0) fn_parallel(ceil_div(words, RANDOM_BLOCK), (double)words, random_task, job);
}

static void uniform(int64_t n, uint64_t seed, uint64_t offset, void *out) {
    random_job job = {.n = n, .seed = seed, .offset = offset, .y = out};
    random_run(&job);
}

static void stream_words(int64_t streams, int64_t blocks, uint64_t key, uint64_t upper, uint64_t first,
                         const int64_t *numbers, void *out) {
    uint32_t *words = out;
    for (int64_t at = 0, total = streams * blocks; at < total; at += RANDOM_LANES) {
        uint32_t word[4][RANDOM_LANES];
        for (int i = 0; i < RANDOM_LANES; i++) {
            int64_t block = min64(at + i, total - 1);
            word[0][i] = (uint32_t)(first + (uint64_t)(block % blocks));
            word[1][i] = (uint32_t)numbers[block / blocks];
            word[2][i] = (uint32_t)upper, word[3][i] = (uint32_t)(upper >> 32);
        }
        philox(key, word);
        for (int64_t i = 0; i < min64(total - at, RANDOM_LANES); i++)
            for (int j = 0; j < 4; j++) words[4 * (at + i) + j] = word[j][i];
    }
}

/* Dropout's units: element (b, r, i) of blocks x repeats x width is kept if number b*width + i is. */

/* Rows of `width` elements, each with a number of its own. */
static void channels_task(void *context, int64_t task, int thread) {
    const random_job *job = context;
    int64_t width = job->width, rows = max64(1, UNIT_BLOCK / width), row = task * rows,
            last = min64(row + rows, job->n);
    const vec scale = broadcast(job->scale);
    int large = is_large(job->y, width * (int64_t)sizeof(REAL), job->n * width * (int64_t)sizeof(REAL));
    (void)thread;
    for (; row < last; row++) {
        const uint8_t *keep = job->keep + row / job->repeats * width;
        const REAL *x = job->x + row * width;
        REAL *y = job->y + row * width;
        for (int64_t i = 0; i < width; i += LANES) {
            mask kept = load_index(MAX_BYTES, keep, i, width - i) != (mask){0};
            vec value = blend(kept, load_part(x + i, width - i) * scale, (vec){0});
            if (large) store_around(y + i, value);
            else store_part(y + i, value, width - i);
        }
    }
    if (large) store_fence();
}

/* Runs of `repeats` elements, each with one number. */
static void runs_task(void *context, int64_t task, int thread) {
    const random_job *job = context;
    int64_t i = task * UNIT_BLOCK, last = min64(i + UNIT_BLOCK, job->n), repeats = job->repeats;
    const vec scale = broadcast(job->scale);
    int large = is_large(job->y, repeats * (int64_t)sizeof(REAL), job->n * (int64_t)sizeof(REAL));
    (void)thread;
    while (i < last) {
        int64_t end = min64((i / repeats + 1) * repeats, last);
        const mask kept = broadcast_whole(job->keep[i / repeats] ? -1 : 0);
        for (; i < end; i += LANES) {
            vec value = blend(kept, load_part(job->x + i, end - i) * scale, (vec){0});
            if (large) store_around(job->y + i, value);
            else store_part(job->y + i, value, end - i);
        }
        i = end;
    }
    if (large) store_fence();
}

static void units_run(int64_t blocks, random_job *job) {
    double work = 2 * (double)blocks * (double)job->repeats * (double)job->width / LANES;
    if (job->repeats == 0 || job->width == 0) return;
    job->n = blocks * job->repeats; /* rows, or elements of width 1 */
    if (job->width > 1) fn_parallel(ceil_div(job->n, max64(1, UNIT_BLOCK / job->width)), work, channels_task, job);
    else fn_parallel(ceil_div(job->n, UNIT_BLOCK), work, runs_task, job);
}

static void dropout(int64_t blocks, int64_t repeats, int64_t width, double p, double scale, uint64_t *position,
                    const void *x, void *y, uint8_t *keep) {
    int64_t n = blocks * width;
    random_job job = {.n = n,
                      .repeats = repeats,
                      .width = width,
                      .seed = position[0],
                      .offset = __atomic_fetch_add(position + 1, (uint64_t)ceil_div(n, 4) * 4, __ATOMIC_RELAXED),
                      .x = repeats == 1 ? x : NULL,
                      .y = y,
                      .p = (REAL)p,
                      .scale = (REAL)scale,
                      .keep = keep};
    random_run(&job);
    if (repeats == 1) return;
    job.x = x;
    units_run(blocks, &job);
}

static void dropout_backward_task(void *context, int64_t task, int thread) {
    const random_job *job = context;
    int64_t first = task * RANDOM_BLOCK, last = min64(first + RANDOM_BLOCK, job->n);
    const REAL scale = job->scale, *dy = job->x;
    const uint8_t *keep = job->keep;
    REAL *dx = job->y;
    (void)thread;
    for (int64_t i = first; i < last; i++) dx[i] = keep[i] ? dy[i] * scale : 0;
}

static void dropout_backward(int64_t blocks, int64_t repeats, int64_t width, double scale, const void *dy,
                             const uint8_t *keep, void *dx) {
    int64_t n = blocks * width;
    random_job job = {
        .n = n, .repeats = repeats, .width = width, .x = dy, .y = dx, .scale = (REAL)scale, .keep = (uint8_t *)keep};
    if (repeats == 1) fn_parallel(ceil_div(n, RANDOM_BLOCK), 2 * (double)n / LANES, dropout_backward_task, &job);
    else units_run(blocks, &job);
}
