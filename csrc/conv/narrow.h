/* Convolution jobs with so few output channels (the input gradient of an RGB layer, say) that a vector of output
 * channels would be half empty or more, or with one input channel: vectors run along output columns instead.
 *
 * The slab holds each input row transposed, as (C, columns), so that one load gives a tap's inputs for LANES
 * neighbouring outputs. A register tile is K channels x NARROW vectors of outputs; weights are broadcast. Each output
 * is summed in the order of conv/gemm.h, so the bits are the same.
 */
enum { NARROW = TILE_ROWS / 2, NARROW_HALF = (NARROW + 1) / 2 };

static int narrow_fits(const conv_job *job) {
    const conv_problem *conv = &job->conv;
    int64_t most = min64(NARROW_CHANNELS, conv->C == 1 ? LANES : LANES / 2);
    return conv->K <= most && (conv->C >= 8 || conv->C == 1) && conv->stride_w == 1 && conv->R * conv->S > 0;
}

/* Copy input rows [row, row + count) of an image, transposed, with zeros outside the image. */
static void fill_transposed(const conv_job *job, int64_t image, int64_t row, int64_t count, REAL *slab) {
    const conv_problem *conv = &job->conv;
    int64_t C = conv->C, row_stride = job->run.slab_columns, left = min64(max64(-conv->first_w, 0), row_stride);
    int64_t column = max64(conv->first_w, 0), inside = max64(min64(row_stride - left, conv->W - column), 0);
    for (int64_t h = row; h < row + count; h++, slab += C * row_stride) {
        if (h < 0 || h >= conv->H) {
            memset(slab, 0, (size_t)(C * row_stride) * sizeof(REAL));
            continue;
        }
        const REAL *from = job->at.in + ((image * conv->H + h) * conv->W + column) * job->at.in_pixel;
        for (int64_t c = 0; c < C; c++) {
            memset(slab + c * row_stride, 0, (size_t)left * sizeof(REAL));
            memset(slab + c * row_stride + left + inside, 0, (size_t)(row_stride - left - inside) * sizeof(REAL));
        }
        if (C == 1 && job->at.in_pixel == 1) memcpy(slab + left, from, (size_t)inside * sizeof(REAL));
        else transpose(inside, C, from, job->at.in_pixel, slab + left, row_stride);
    }
}

/* Transpose `height` <= LANES rows, a channel of LANES pixels each, into pixels with adjacent channels. */
INLINE void store_pixels(const int height, vec *rows, int64_t pixels, REAL *out, int64_t out_pixel) {
    const int part = height > LANES / 2 ? LANES : LANES / 2; /* lanes that hold a pixel's channels */
    REAL turned[LANES][LANES]; /* [j]: the channels of pixels j, j + part, ... */
    turn(part, rows);
    UNROLL_FOR (int i = 0; i < part; i++) store(turned[i], rows[i]);
    /* If pixels are contiguous, store all lanes of a part: the next pixel overwrites the excess. */
    int64_t lane = 0, touching = out_pixel == height ? pixels + 1 - (part + height - 1) / height : 0;
    for (; lane < touching; lane++)
        memcpy(out + lane * height, turned[lane % part] + lane / part * part, (size_t)part * sizeof(REAL));
    for (; lane < pixels; lane++)
        memcpy(out + lane * out_pixel, turned[lane % part] + lane / part * part, (size_t)height * sizeof(REAL));
}

INLINE void narrow_tile(const int height, const int width, const conv_job *job, const REAL *const *vectors,
                        REAL *const *outs, const int64_t *counts, int live) {
    const conv_problem *conv = &job->conv;
    vec sum[NARROW_CHANNELS][NARROW];
    const REAL *w = job->run.prepared;
    int64_t row_stride = job->run.slab_columns;
    UNROLL_FOR (int i = 0; i < height; i++)
        UNROLL_FOR (int j = 0; j < width; j++) sum[i][j] = (vec){0};
    for (int64_t r = 0; r < conv->R; r++)
        for (int64_t s = 0; s < conv->S; s++) {
            const REAL *at[NARROW];
            UNROLL_FOR (int j = 0; j < width; j++)
                at[j] = vectors[j] + r * conv->tap_h * conv->C * row_stride + s * conv->tap_w;
            for (int64_t c = 0, offset = 0; c < conv->C; c++, offset += row_stride, w += height) {
                vec value[NARROW];
                UNROLL_FOR (int j = 0; j < width; j++) value[j] = load(at[j] + offset);
                UNROLL_FOR (int i = 0; i < height; i++) {
                    vec weight = broadcast(w[i]);
                    UNROLL_FOR (int j = 0; j < width; j++) sum[i][j] += weight * value[j];
                }
            }
        }
    UNROLL_FOR (int j = 0; j < width; j++) {
        if (j >= live) break;
        const epilogue *end = &job->end;
        vec rows[NARROW_CHANNELS] = {{0}}, before[NARROW_CHANNELS] = {{0}};
        int64_t pixel = job->pooled ? conv->K : job->at.out_pixel;
        UNROLL_FOR (int i = 0; i < height; i++) {
            if (end->scale) sum[i][j] = multiply_add(sum[i][j], broadcast(end->scale[i]), broadcast(end->shift[i]));
            else if (end->shift) sum[i][j] += broadcast(end->shift[i]);
            if (end->add) {
                const REAL *add = end->add + (outs[j] + i - end->out);
                REAL others[LANES] = {0};
                for (int64_t lane = 0; lane < counts[j]; lane++) others[lane] = add[lane * job->at.out_pixel];
                sum[i][j] += load(others);
            }
            before[i] = sum[i][j];
            rows[i] = activate(end, sum[i][j], end->slopes ? broadcast(end->slopes[i]) : (vec){0});
        }
        if (height > LANES) continue;
        if (end->before) store_pixels(height, before, counts[j], end->before + (outs[j] - end->out), pixel);
        store_pixels(height, rows, counts[j], outs[j], pixel);
    }
}

static void narrow_task(void *context, int64_t task, int thread) {
    const conv_job *job = context;
    const conv_problem *conv = &job->conv;
    int64_t first = task * job->run.rows_per_task, last = min64(first + job->run.rows_per_task, conv->N * conv->P),
            total = 0;
    int64_t a_row = ceil_div(conv->Q, LANES), most = job->run.rows_per_task * a_row + NARROW,
            row_stride = job->run.slab_columns * conv->C;
    char *scratch = job->run.scratch + thread * job->run.scratch_bytes;
    REAL *slab = (REAL *)scratch;
    const REAL **vectors = (const REAL **)(scratch + job->run.slab_bytes);
    REAL **outs = (REAL **)(vectors + most);
    int64_t *counts = (int64_t *)(outs + most), begin = first;
    REAL *full = (REAL *)(counts + most);
    while (first < last) {
        int64_t image = first / conv->P, p = first % conv->P, count = min64(last - first, conv->P - p);
        fill_transposed(job, image, p * conv->stride_h + conv->first_h, slab_rows(conv, count), slab);
        for (int64_t r = 0; r < count; r++)
            for (int64_t v = 0; v < a_row; v++, total++) {
                vectors[total] = slab + r * conv->stride_h * row_stride + v * LANES;
                if (job->pooled) outs[total] = full + ((first - begin + r) * conv->Q + v * LANES) * conv->K;
                else
                    outs[total] = job->at.out + image * job->at.out_image + (p + r) * job->at.out_row +
                                  v * LANES * job->at.out_pixel;
                counts[total] = min64(LANES, conv->Q - v * LANES);
            }
        slab += slab_rows(conv, count) * row_stride;
        first += count;
    }
    for (int64_t j = total; j < total + NARROW; j++)
        vectors[j] = vectors[total - 1]; /* unused vectors of the last tile */
    int width = conv->K <= 4 ? NARROW : NARROW_HALF;
    for (int64_t i = 0; i < total; i += width) {
        int live = (int)min64(width, total - i);
        switch (conv->K) {
#define NARROW_CASE(height, width) \
    case height: narrow_tile(height, width, job, vectors + i, outs + i, counts + i, live); break;
            NARROW_CASE(1, NARROW)
            NARROW_CASE(2, NARROW)
            NARROW_CASE(3, NARROW)
            NARROW_CASE(4, NARROW)
            NARROW_CASE(5, NARROW_HALF)
            NARROW_CASE(6, NARROW_HALF)
            NARROW_CASE(7, NARROW_HALF)
            NARROW_CASE(8, NARROW_HALF)
        }
    }
    if (job->pooled) pool_outputs(job, begin, last, 0, conv->K, full);
}

static void narrow_measure(conv_job *job) {
    const conv_problem *conv = &job->conv;
    int64_t out_rows = conv->N * conv->P, a_row = ceil_div(conv->Q, LANES);
    job->run.slab_columns = a_row * LANES + (conv->S - 1) * conv->tap_w;
    int64_t line_bytes = job->run.slab_columns * conv->C * (int64_t)sizeof(REAL);
    int64_t rows = max64(
        1, min64(fn_speed.narrow_tiles * NARROW / a_row, fn_speed.slab_bytes / max64(1, line_bytes * conv->stride_h)));
    rows = min64(rows, ceil_div(out_rows, fn_speed.tasks_per_thread * job->run.threads));
    if (job->pooled) rows = ceil_div(rows, 2) * 2;
    job->run.rows_per_task = rows;
    int64_t images = (rows + conv->P - 2) / conv->P + 1, full = job->pooled ? rows * conv->Q * conv->K : 0;
    job->run.slab_bytes = ceil_div((rows * conv->stride_h + images * slab_rows(conv, 1)) * line_bytes, 64) * 64;
    job->run.scratch_bytes = job->run.slab_bytes + (rows * a_row + NARROW) * 3 * 8 + full * (int64_t)sizeof(REAL);
    job->run.scratch_bytes = ceil_div(job->run.scratch_bytes, 64) * 64;
    job->run.shared_bytes = 0;
    job->run.prepared_bytes = conv->R * conv->S * conv->C * conv->K * (int64_t)sizeof(REAL);
}

static void narrow_prepare(conv_job *job) {
    const conv_problem *conv = &job->conv;
    REAL *w = job->run.prepared;
    for (int64_t i = 0; i < conv->R; i++)
        for (int64_t j = 0; j < conv->S; j++)
            for (int64_t c = 0; c < conv->C; c++)
                for (int64_t k = 0; k < conv->K; k++)
                    *w++ = job->at.w[i * job->at.w_tap_h + j * job->at.w_tap_w + c * job->at.w_in + k * job->at.w_out];
}

static void narrow_run(conv_job *job) {
    const conv_problem *conv = &job->conv;
    int64_t out_rows = conv->N * conv->P;
    fn_parallel_on(job->run.threads, ceil_div(out_rows, job->run.rows_per_task),
                   (double)out_rows * (double)conv->Q * (double)(conv->R * conv->S * conv->C * conv->K) / LANES,
                   narrow_task, job);
}
