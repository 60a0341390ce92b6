/* Philox4x32-10 (Salmon et al. 2011): word i of a stream depends on (seed, i) alone.  Block b holds words 4b to
 * 4b+3. */
typedef struct {
    int64_t n;
    uint64_t seed, offset, base; /* base: the offset, rounded down to a group */
    const REAL *x;
    REAL *y, p, scale;
    uint8_t *keep;
} random_job;

enum { RANDOM_LANES = 32, RANDOM_GROUP = 4 * RANDOM_LANES, RANDOM_BLOCK = 64 * RANDOM_GROUP };

/* The words of RANDOM_LANES blocks from `block` on, converted to [0, 1): their upper 24 bits times 2^-24. */
INLINE void uniform_group(uint64_t seed, uint64_t block, REAL *restrict u) {
    uint32_t word[4][RANDOM_LANES], key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    for (int i = 0; i < RANDOM_LANES; i++) {
        word[0][i] = (uint32_t)(block + (uint64_t)i), word[1][i] = (uint32_t)((block + (uint64_t)i) >> 32);
        word[2][i] = word[3][i] = 0;
    }
    for (int round = 0; round < 10; round++, key0 += 0x9E3779B9, key1 += 0xBB67AE85)
        for (int i = 0; i < RANDOM_LANES; i++) {
            uint64_t even = (uint64_t)word[0][i] * 0xD2511F53, odd = (uint64_t)word[2][i] * 0xCD9E8D57;
            word[0][i] = (uint32_t)(odd >> 32) ^ word[1][i] ^ key0;
            word[1][i] = (uint32_t)odd;
            word[2][i] = (uint32_t)(even >> 32) ^ word[3][i] ^ key1;
            word[3][i] = (uint32_t)even;
        }
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
        REAL *restrict y = job->y + at;
        if (!job->keep) {
            memcpy(y, u + skip, (size_t)count * sizeof(REAL));
            continue;
        }
        const REAL *x = job->x + at, *number = u + skip, p = job->p, scale = job->scale;
        uint8_t *restrict keep = job->keep + at;
        for (int64_t i = 0; i < count; i++) keep[i] = number[i] >= p;
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

/* y = x / (1-p) where number offset + i of the stream is >= p, else 0 */
static void dropout(int64_t n, double p, uint64_t *position, const void *x, void *y, uint8_t *keep) {
    random_job job = {.n = n,
                      .seed = position[0],
                      .offset = __atomic_fetch_add(position + 1, (uint64_t)ceil_div(n, 4) * 4, __ATOMIC_RELAXED),
                      .x = x,
                      .y = y,
                      .p = (REAL)p,
                      .scale = (REAL)(1 / (1 - p)),
                      .keep = keep};
    random_run(&job);
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

static void dropout_backward(int64_t n, double p, const void *dy, const uint8_t *keep, void *dx) {
    random_job job = {.n = n, .x = dy, .y = dx, .scale = (REAL)(1 / (1 - p)), .keep = (uint8_t *)keep};
    fn_parallel(ceil_div(n, RANDOM_BLOCK), 2 * (double)n / LANES, dropout_backward_task, &job);
}
