/* Depthwise convolution, and groups of 4 channels in and 4 out.  Vectors run along all channels of a pixel; lane k
 * takes channel c of its own group from the same vector of the input.  Needs conv/job.h.
 *
 * A strip is COLUMNS neighbouring outputs of a row times one vector of channels.  Where a filter row's taps are
 * compile-time constants, columns that they share are loaded once. Columns outside the image are zeros. Weights are
 * packed as [vector][r][c][s][lane], which is also each output's order of summation.
 */
enum { COLUMNS = TILE_ROWS >= 8 ? 8 : 4, TAPS_MOST = 7, WIDE_MOST = (COLUMNS - 1) * 2 + TAPS_MOST };

/* The channels of a vector: the last vector overlaps its neighbour, or is partial with fewer than LANES channels. */
INLINE int64_t vector_start(int64_t channels, int64_t v) { return max64(0, min64(v * LANES, channels - LANES)); }
INLINE vec load_channels(const int full, const REAL *p, int64_t channels) {
    return full ? load(p) : load_part(p, channels);
}
INLINE void store_channels(const int full, REAL *p, vec v, int64_t channels) {
    if (full) store(p, v);
    else store_part(p, v, channels);
}

/* Lane k gets channel c of its group. */
INLINE vec of_group(const int group, const int c, vec x) {
    if (group == 1) return x;
    return shuffle(x, x, lane_numbers() / group * group + c);
}

/* One input row, relative to a strip. */
typedef struct {
    const REAL *row;
    int64_t start, size, pixel, channels;
} row_view;

INLINE int all_inside(row_view in, int64_t wide) { return in.start >= 0 && in.start + wide <= in.size; }

INLINE vec load_column(const int full, const int inside, row_view in, int64_t i) {
    int64_t at = in.start + i;
    return inside || (at >= 0 && at < in.size) ? load_channels(full, in.row + at * in.pixel, in.channels) : (vec){0};
}

INLINE void load_columns(const int full, const int wide, row_view in, vec *x) {
    if (all_inside(in, wide)) {
        UNROLL_FOR (int i = 0; i < wide; i++) x[i] = load_column(full, 1, in, i);
    } else {
        UNROLL_FOR (int i = 0; i < wide; i++) x[i] = load_column(full, 0, in, i);
    }
}

/* ---- forward, and the input gradient ---- */

INLINE void any_filter_row(const int full, const int inside, const int group, const conv_problem *conv, row_view in,
                           const REAL *w, vec *sum) {
    UNROLL_FOR (int c = 0; c < group; c++)
        for (int64_t s = 0; s < conv->S; s++, w += LANES) {
            vec weight = load(w);
            UNROLL_FOR (int j = 0; j < COLUMNS; j++)
                sum[j] +=
                    of_group(group, c, load_column(full, inside, in, j * conv->stride_w + s * conv->tap_w)) * weight;
        }
}

/* sum += the products of one filter row of S adjacent taps, outputs `step` columns apart; S = 0: any taps. */
INLINE void filter_row(const int full, const int group, const int S, const int step, const conv_problem *conv,
                       row_view in, const REAL *w, vec *sum) {
    if (S) {
        vec x[WIDE_MOST];
        const int wide = (COLUMNS - 1) * step + S;
        load_columns(full, wide, in, x);
        UNROLL_FOR (int c = 0; c < group; c++) {
            vec own[WIDE_MOST];
            UNROLL_FOR (int i = 0; i < wide; i++) own[i] = of_group(group, c, x[i]);
            UNROLL_FOR (int s = 0; s < S; s++) {
                vec weight = load(w + (c * S + s) * LANES);
                UNROLL_FOR (int j = 0; j < COLUMNS; j++) sum[j] += own[j * step + s] * weight;
            }
        }
    } else if (all_inside(in, (COLUMNS - 1) * conv->stride_w + (conv->S - 1) * conv->tap_w + 1)) {
        any_filter_row(full, 1, group, conv, in, w, sum);
    } else {
        any_filter_row(full, 0, group, conv, in, w, sum);
    }
}

/* Prefetch the input columns that the next output row reads first: some CPUs do not detect such short runs of cache
 * lines as a stream. */
INLINE void prefetch_columns(const conv_problem *conv, const REAL *in, int64_t in_pixel, int64_t image, int64_t row,
                             int64_t q, int64_t channel) {
    int64_t start = max64(0, q * conv->stride_w + conv->first_w),
            end = min64(conv->W, start + COLUMNS * conv->stride_w);
    for (int64_t h = max64(0, row); h < min64(conv->H, row + conv->stride_h); h++) {
        const REAL *from = in + (image * conv->H + h) * conv->W * in_pixel + channel;
        for (int64_t w = start; w < end; w++) __builtin_prefetch(from + w * in_pixel);
    }
}

/* Whether to use non-temporal stores: each must fill a cache line, since the line's neighbours are stored later. */
INLINE int stores_past_caches(const conv_job *job) {
    const int64_t size = sizeof(REAL);
    return VECTOR_BYTES == 64 && is_large(job->at.out, job->conv.K * size, job->conv.N * job->at.out_image * size);
}

INLINE void depthwise_row(const int full, const int group, const int S, const int step, const conv_job *job,
                          int64_t row) {
    const conv_problem *conv = &job->conv;
    int64_t image = row / conv->P, p = row % conv->P, h = p * conv->stride_h + conv->first_h, r0, r1;
    int64_t vectors = ceil_div(conv->K, LANES), taps_row = group * conv->S * LANES, taps = conv->R * taps_row;
    const int large = full && stores_past_caches(job);
    taps_inside(h, conv->tap_h, conv->H, conv->R, &r0, &r1);
    for (int64_t q = 0; q < conv->Q; q += COLUMNS)
        for (int64_t v = 0; v < vectors; v++) {
            int64_t first = vector_start(conv->K, v), again = v * LANES - first; /* lanes already stored */
            vec sum[COLUMNS];
            UNROLL_FOR (int j = 0; j < COLUMNS; j++) sum[j] = (vec){0};
            prefetch_columns(conv, job->at.in, job->at.in_pixel, image, h + (conv->R - 1) * conv->tap_h + 1, q, first);
            for (int64_t r = r0; r < r1; r++) {
                const REAL *in =
                    job->at.in + (image * conv->H + h + r * conv->tap_h) * conv->W * job->at.in_pixel + first;
                row_view view = {in, q * conv->stride_w + conv->first_w, conv->W, job->at.in_pixel, conv->K};
                filter_row(full, group, S, step, conv, view, job->run.prepared + v * taps + r * taps_row, sum);
            }
            vec scale = load_per_channel(job->end.scale, first, conv->K),
                shift = load_per_channel(job->end.shift, first, conv->K),
                slope = load_per_channel(job->end.slopes, first, conv->K);
            REAL *out = job->at.out + image * job->at.out_image + p * job->at.out_row + q * job->at.out_pixel + first;
            UNROLL_FOR (int j = 0; j < COLUMNS; j++) {
                if (j >= conv->Q - q) break;
                REAL *to = out + j * job->at.out_pixel;
                vec y = finish(&job->end, sum[j], scale, shift, slope, to, conv->K);
                if (large) store_around(to, y);
                else
                    store_channels(full, to, again > 0 ? blend(lane_numbers() < (whole)again, load(to), y) : y,
                                   conv->K);
            }
        }
}

/* The specialisations, as (group, S, step), S = 0 for any: each is a separate function, so that its sums stay in
 * registers. */
#define WEIGHT_FORMS(FORM) \
    FORM(1, 3, 1)          \
    FORM(1, 3, 2) FORM(1, 5, 1) FORM(1, 5, 2) FORM(1, 7, 1) FORM(4, 3, 1) FORM(4, 3, 2)
#define ROW_FORMS(FORM) WEIGHT_FORMS(FORM) FORM(1, 1, 1) FORM(1, 2, 1)
#define IS_FORM(conv, in_group, taps, step)                                                        \
    ((conv)->K >= LANES && (conv)->tap_w == 1 && (conv)->group == in_group && (conv)->S == taps && \
     (conv)->stride_w == step)
#define NOINLINE static __attribute__((noinline))

#define ROW_FORM(group, S, step)                                                           \
    NOINLINE void depthwise_row_##group##_##S##_##step(const conv_job *job, int64_t row) { \
        depthwise_row(1, group, S, step, job, row);                                        \
    }
ROW_FORMS(ROW_FORM)
NOINLINE void depthwise_row_1(const conv_job *job, int64_t row) { depthwise_row(0, 1, 0, 0, job, row); }
NOINLINE void depthwise_row_4(const conv_job *job, int64_t row) { depthwise_row(0, 4, 0, 0, job, row); }

typedef void (*row_body)(const conv_job *job, int64_t row);

static row_body choose_row(const conv_problem *conv) {
#define ROW_CHOICE(group, S, step) \
    if (IS_FORM(conv, group, S, step)) return depthwise_row_##group##_##S##_##step;
    ROW_FORMS(ROW_CHOICE)
    return conv->group == 1 ? depthwise_row_1 : depthwise_row_4;
}

static void depthwise_task(void *context, int64_t task, int thread) {
    const conv_job *job = context;
    int64_t last = min64((task + 1) * job->run.rows_per_task, job->conv.N * job->conv.P);
    row_body body = choose_row(&job->conv);
    (void)thread;
    for (int64_t row = task * job->run.rows_per_task; row < last; row++) body(job, row);
    if (stores_past_caches(job)) store_fence();
}

static int depthwise_fits(const conv_job *job) { return job->conv.group > 0; }

/* Several tasks for each thread, of about 64 KiB of outputs. */
static void depthwise_measure(conv_job *job) {
    const conv_problem *conv = &job->conv;
    int64_t out_rows = conv->N * conv->P, rows = fn_speed.depthwise_bytes / (conv->Q * conv->K * (int64_t)sizeof(REAL));
    job->run.rows_per_task = max64(1, min64(rows, ceil_div(out_rows, fn_speed.tasks_per_thread * job->run.threads)));
    job->run.prepared_bytes =
        ceil_div(conv->K, LANES) * LANES * conv->R * conv->S * conv->group * (int64_t)sizeof(REAL);
    job->run.scratch_bytes = job->run.shared_bytes = 0;
}

static void depthwise_prepare(conv_job *job) {
    const conv_problem *conv = &job->conv;
    REAL *to = job->run.prepared;
    int64_t vectors = ceil_div(conv->K, LANES);
    for (int64_t v = 0; v < vectors; v++)
        for (int64_t r = 0; r < conv->R; r++)
            for (int64_t c = 0; c < conv->group; c++)
                for (int64_t s = 0; s < conv->S; s++)
                    for (int64_t k = vector_start(conv->K, v), lane = 0; lane < LANES; lane++, k++) {
                        const REAL *w = job->at.w + k / conv->group * job->at.w_group + k % conv->group * job->at.w_out;
                        *to++ = k < conv->K ? w[r * job->at.w_tap_h + s * job->at.w_tap_w + c * job->at.w_in] : 0;
                    }
}

static void depthwise_run(conv_job *job) {
    const conv_problem *conv = &job->conv;
    double work =
        (double)(conv->N * conv->P * conv->Q) * (double)(conv->R * conv->S * conv->group + 1) * (double)conv->K / LANES;
    fn_parallel_on(job->run.threads, ceil_div(conv->N * conv->P, job->run.rows_per_task), work, depthwise_task, job);
}
