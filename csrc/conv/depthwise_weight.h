/* The weight gradient of conv/depthwise.h: dw[k][c][r][s] = sum over output pixels of dy[k] * x[channel c of k's
 * group].
 *
 * The output rows of the batch are split into parts, which depend on the geometry alone. A part sums each of its rows
 * separately and adds the sums to its partial gradient; the parts are added in a tree.  Sums are laid out as
 * [vector][r][c][s][lane].
 */
typedef struct {
    weight_gradient of;
    int64_t parts, vectors, size; /* size: elements of a sum */
    REAL *partial, *sums; /* for each part; for each thread */
} depthwise_weight_job;

INLINE int all_inside(row_view in, int64_t wide) { return in.start >= 0 && in.start + wide <= in.size; }

INLINE void load_columns(const int full, const int wide, row_view in, vec *x) {
    if (all_inside(in, wide)) {
        UNROLL_FOR (int i = 0; i < wide; i++) x[i] = load_column(full, 1, in, i);
    } else {
        UNROLL_FOR (int i = 0; i < wide; i++) x[i] = load_column(full, 0, in, i);
    }
}

/* The sums of one filter row, carried from a row's first strip to its last, then added to the total. */
INLINE void filter_row_gradient(const int full, const int group, const int S, const int step, const conv_problem *conv,
                                row_view in, const vec *dy, int64_t live, int first, int last, REAL *sum, REAL *total) {
    if (S) {
        vec x[WIDE_MOST], acc[GROUP * TAPS_MOST];
        UNROLL_FOR (int i = 0; i < group * S; i++) acc[i] = first ? (vec){0} : load(sum + i * LANES);
        load_columns(full, (COLUMNS - 1) * step + S, in, x);
        UNROLL_FOR (int j = 0; j < COLUMNS; j++) {
            if (j >= live) break;
            UNROLL_FOR (int c = 0; c < group; c++)
                UNROLL_FOR (int s = 0; s < S; s++) acc[c * S + s] += of_group(group, c, x[j * step + s]) * dy[j];
        }
        UNROLL_FOR (int i = 0; i < group * S; i++) {
            if (last) store(total + i * LANES, load(total + i * LANES) + acc[i]);
            else store(sum + i * LANES, acc[i]);
        }
    } else {
        UNROLL_FOR (int c = 0; c < group; c++)
            for (int64_t s = 0; s < conv->S; s++, sum += LANES, total += LANES) {
                vec acc = first ? (vec){0} : load(sum);
                UNROLL_FOR (int j = 0; j < COLUMNS; j++) {
                    if (j >= live) break;
                    acc += of_group(group, c, load_column(full, 0, in, j * conv->stride_w + s * conv->tap_w)) * dy[j];
                }
                if (last) store(total, load(total) + acc);
                else store(sum, acc);
            }
    }
}

INLINE void depthwise_weight_row(const int full, const int group, const int S, const int step,
                                 const depthwise_weight_job *weight, int64_t row, REAL *sums, REAL *total) {
    const weight_gradient *of = &weight->of;
    const conv_problem *conv = &of->conv;
    int64_t image = row / conv->P, h = row % conv->P * conv->stride_h + conv->first_h, r0, r1;
    int64_t one_row = group * conv->S * LANES;
    int64_t ahead = h + (conv->R - 1) * conv->tap_h + 1; /* the first input row that only the next output row reads */
    const REAL *soon = ahead + conv->stride_h > conv->H
                           ? NULL
                           : of->x + ((image * conv->H + ahead) * conv->W + conv->first_w) * of->x_pixel;
    taps_inside(h, conv->tap_h, conv->H, conv->R, &r0, &r1);
    for (int64_t q = 0; q < conv->Q; q += COLUMNS)
        for (int64_t v = 0; v < weight->vectors; v++) {
            int64_t first = vector_start(conv->K, v), live = conv->Q - q;
            const REAL *from = of->dy + (row * conv->Q + q) * conv->K + first;
            vec dy[COLUMNS];
            UNROLL_FOR (int j = 0; j < COLUMNS; j++)
                dy[j] = j < live ? load_channels(full, from + j * conv->K, conv->K) : (vec){0};
            UNROLL_FOR (int j = 0; j < COLUMNS; j++) __builtin_prefetch(from + (conv->Q + j) * conv->K);
            if (soon) prefetch_columns(conv, soon + q * conv->stride_w * of->x_pixel, of->x_pixel, v);
            for (int64_t r = r0; r < r1; r++) {
                const REAL *in = of->x + (image * conv->H + h + r * conv->tap_h) * conv->W * of->x_pixel + first;
                row_view view = {in, q * conv->stride_w + conv->first_w, conv->W, of->x_pixel, conv->K};
                int64_t at = (v * conv->R + r) * one_row;
                filter_row_gradient(full, group, S, step, conv, view, dy, live, q == 0, live <= COLUMNS, sums + at,
                                    total + at);
            }
        }
}

#define WEIGHT_FORM(group, S, step)                                                                           \
    NOINLINE void weight_row_##group##_##S##_##step(const depthwise_weight_job *job, int64_t row, REAL *sums, \
                                                    REAL *total) {                                            \
        depthwise_weight_row(1, group, S, step, job, row, sums, total);                                       \
    }
WEIGHT_FORMS(WEIGHT_FORM)
NOINLINE void weight_row_1(const depthwise_weight_job *job, int64_t row, REAL *sums, REAL *total) {
    depthwise_weight_row(0, 1, 0, 0, job, row, sums, total);
}
NOINLINE void weight_row_4(const depthwise_weight_job *job, int64_t row, REAL *sums, REAL *total) {
    depthwise_weight_row(0, 4, 0, 0, job, row, sums, total);
}

typedef void (*weight_row_body)(const depthwise_weight_job *job, int64_t row, REAL *sums, REAL *total);

static weight_row_body choose_weight_row(const conv_problem *conv) {
#define WEIGHT_CHOICE(group, S, step) \
    if (IS_FORM(conv, group, S, step)) return weight_row_##group##_##S##_##step;
    WEIGHT_FORMS(WEIGHT_CHOICE)
    return conv->group == 1 ? weight_row_1 : weight_row_4;
}

static void depthwise_weight_part(void *context, int64_t part, int thread) {
    const depthwise_weight_job *weight = context;
    int64_t rows = weight->of.conv.N * weight->of.conv.P;
    REAL *total = weight->partial + part * weight->size, *sums = weight->sums + thread * weight->size;
    memset(total, 0, (size_t)weight->size * sizeof(REAL));
    weight_row_body body = choose_weight_row(&weight->of.conv);
    int64_t row = rows * part / weight->parts, end = rows * (part + 1) / weight->parts;
    for (; row < end; row++) body(weight, row, sums, total);
}

static fn_status depthwise_weight_run(const weight_gradient *of) {
    const conv_problem *conv = &of->conv;
    int64_t taps = conv->R * conv->S, group = conv->group, vectors = ceil_div(conv->K, LANES);
    depthwise_weight_job job = {.of = *of, .vectors = vectors, .size = vectors * LANES * taps * group};
    job.parts = max64(1, min64(WEIGHT_PARTS, conv->N * conv->P));
    job.partial = fn_alloc((size_t)((job.parts + of->threads) * job.size) * sizeof(REAL), FN_SCRATCH);
    if (!job.partial) return FN_NO_MEMORY;
    job.sums = job.partial + job.parts * job.size;
    double work = (double)(conv->N * conv->P * conv->Q) * (double)job.size / LANES;
    fn_parallel_on(of->threads, job.parts, work, depthwise_weight_part, &job);
    sum_parts(of->threads, job.parts, job.size, job.partial);
    for (int64_t v = 0; v < vectors; v++)
        for (int64_t c = 0; c < group; c++)
            for (int64_t tap = 0; tap < taps; tap++) {
                int64_t r = tap / conv->S, s = tap % conv->S, k = vector_start(conv->K, v);
                const REAL *from = job.partial + (((v * conv->R + r) * group + c) * conv->S + s) * LANES;
                for (int64_t lane = 0; lane < min64(LANES, conv->K); lane++)
                    of->dw[((k + lane) * group + c) * taps + tap] = from[lane];
            }
    fn_free(job.partial);
    return FN_OK;
}
