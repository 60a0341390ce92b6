/* Depthwise convolution, and groups of 4 channels in and 4 out.  Vectors run along all channels of a
 * pixel; lane k takes channel c of its own group from the same vector of the input.
 *
 * A tile is COLUMNS neighbouring outputs of a row times one vector of channels.  Where the taps of a filter row are known
 * here, the columns that they share are loaded once.  Columns outside the image are zeros.  Weights lie as
 * [vector][r][c][s][lane], the order of each output's sum.
 */
enum { COLUMNS = TILE_ROWS >= 8 ? 8 : 4, GROUP = 4, TAPS_MOST = 7, WIDE_MOST = (COLUMNS - 1) * 2 + TAPS_MOST };

/* How many of the groups one job takes: all of them where lanes can, else one. */
INLINE int64_t groups_together(const fn_conv *g) {
    int64_t C = g->C / g->groups, K = g->K / g->groups;
    return C == K && (C == 1 || C == GROUP) && C <= LANES ? g->groups : 1;
}

INLINE int64_t conv_jobs(const fn_conv *g) { return g->groups / groups_together(g); }

/* Which vectors of channels: the last one overlaps its neighbour; with fewer channels than LANES it is not full. */
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

/* One input row, seen from a tile. */
typedef struct {
    const REAL *row;
    int64_t start, size, pixel, channels;
} row_view;

INLINE int all_inside(row_view in, int64_t wide) { return in.start >= 0 && in.start + wide <= in.size; }

INLINE vec column(const int full, const int inside, row_view in, int64_t i) {
    int64_t at = in.start + i;
    return inside || (at >= 0 && at < in.size) ? load_channels(full, in.row + at * in.pixel, in.channels) : (vec){0};
}

INLINE void columns(const int full, const int wide, row_view in, vec *x) {
    if (all_inside(in, wide)) {
        UNROLL_FOR (int i = 0; i < wide; i++) x[i] = column(full, 1, in, i);
    } else {
        UNROLL_FOR (int i = 0; i < wide; i++) x[i] = column(full, 0, in, i);
    }
}

/* ---- forward, and the input gradient ---- */

INLINE void any_filter_row(const int full, const int inside, const int group, const conv_job *job, row_view in,
                           const REAL *w, vec *sum) {
    UNROLL_FOR (int c = 0; c < group; c++)
        for (int64_t s = 0; s < job->S; s++, w += LANES) {
            vec weight = load(w);
            UNROLL_FOR (int j = 0; j < COLUMNS; j++)
                sum[j] += of_group(group, c, column(full, inside, in, j * job->step_w + s * job->tap_w)) * weight;
        }
}

/* sum += the products of one filter row; S taps side by side, `step` columns from output to output, or S = 0: any. */
INLINE void filter_row(const int full, const int group, const int S, const int step, const conv_job *job, row_view in,
                       const REAL *w, vec *sum) {
    if (S) {
        vec x[WIDE_MOST];
        const int wide = (COLUMNS - 1) * step + S;
        columns(full, wide, in, x);
        UNROLL_FOR (int c = 0; c < group; c++) {
            vec own[WIDE_MOST];
            UNROLL_FOR (int i = 0; i < wide; i++) own[i] = of_group(group, c, x[i]);
            UNROLL_FOR (int s = 0; s < S; s++) {
                vec weight = load(w + (c * S + s) * LANES);
                UNROLL_FOR (int j = 0; j < COLUMNS; j++) sum[j] += own[j * step + s] * weight;
            }
        }
    } else if (all_inside(in, (COLUMNS - 1) * job->step_w + (job->S - 1) * job->tap_w + 1)) {
        any_filter_row(full, 1, group, job, in, w, sum);
    } else {
        any_filter_row(full, 0, group, job, in, w, sum);
    }
}

/* Ask for the input columns under a tile that the next output row will be the first to read; some CPUs do not see by
 * themselves that such short runs of lines follow each other. */
INLINE void fetch_ahead(const conv_job *job, int64_t image, int64_t row, int64_t q, int64_t channel) {
    int64_t start = max64(0, q * job->step_w + job->first_w), end = min64(job->W, start + COLUMNS * job->step_w);
    for (int64_t h = max64(0, row); h < min64(job->H, row + job->step_h); h++) {
        const REAL *from = job->in + ((image * job->H + h) * job->W) * job->in_pixel + channel;
        for (int64_t w = start; w < end; w++) __builtin_prefetch(from + w * job->in_pixel);
    }
}

/* Outputs that go around the caches: each store must be a whole line, since those beside it come later. */
INLINE int writes_around(const conv_job *job) {
    const int64_t size = sizeof(REAL);
    return VECTOR_BYTES == 64 && is_large(job->out, job->K * size, job->N * job->out_image * size);
}

INLINE void depthwise_row(const int full, const int group, const int S, const int step, const conv_job *job,
                          int64_t row) {
    int64_t image = row / job->P, p = row % job->P, h = p * job->step_h + job->first_h, r0, r1;
    int64_t vectors = ceil_div(job->K, LANES), taps_row = group * job->S * LANES, taps = job->R * taps_row;
    const int large = full && writes_around(job);
    taps_inside(h, job->tap_h, job->H, job->R, &r0, &r1);
    for (int64_t q = 0; q < job->Q; q += COLUMNS)
        for (int64_t v = 0; v < vectors; v++) {
            int64_t first = vector_start(job->K, v), again = v * LANES - first; /* lanes that have been stored */
            vec sum[COLUMNS];
            UNROLL_FOR (int j = 0; j < COLUMNS; j++) sum[j] = (vec){0};
            fetch_ahead(job, image, h + (job->R - 1) * job->tap_h + 1, q, first);
            for (int64_t r = r0; r < r1; r++) {
                const REAL *in = job->in + (image * job->H + h + r * job->tap_h) * job->W * job->in_pixel + first;
                row_view view = {in, q * job->step_w + job->first_w, job->W, job->in_pixel, job->K};
                filter_row(full, group, S, step, job, view, job->prepared + v * taps + r * taps_row, sum);
            }
            vec scale = channels(job->end.scale, first, job->K), shift = channels(job->end.shift, first, job->K);
            REAL *out = job->out + image * job->out_image + p * job->out_row + q * job->out_pixel + first;
            UNROLL_FOR (int j = 0; j < COLUMNS; j++) {
                if (j >= job->Q - q) break;
                REAL *to = out + j * job->out_pixel;
                vec y = finish(&job->end, sum[j], scale, shift, to, job->K);
                if (large) store_around(to, y);
                else
                    store_channels(full, to, again > 0 ? blend(lane_numbers() < (whole)again, load(to), y) : y, job->K);
            }
        }
}

/* The forms that are compiled, as (group, S, step), S = 0 for any: a function for each, so that registers last. */
#define WEIGHT_FORMS(FORM) \
    FORM(1, 3, 1) FORM(1, 3, 2) FORM(1, 5, 1) FORM(1, 5, 2) FORM(1, 7, 1) FORM(4, 3, 1) FORM(4, 3, 2)
#define ROW_FORMS(FORM) WEIGHT_FORMS(FORM) FORM(1, 1, 1) FORM(1, 2, 1)
#define IS_FORM(job, in_group, taps, step) \
    ((job)->K >= LANES && (job)->tap_w == 1 && (job)->group == in_group && (job)->S == taps && (job)->step_w == step)
#define NOINLINE static __attribute__((noinline))

#define ROW_FORM(group, S, step)                                                           \
    NOINLINE void depthwise_row_##group##_##S##_##step(const conv_job *job, int64_t row) { \
        depthwise_row(1, group, S, step, job, row);                                        \
    }
ROW_FORMS(ROW_FORM)
NOINLINE void depthwise_row_1(const conv_job *job, int64_t row) { depthwise_row(0, 1, 0, 0, job, row); }
NOINLINE void depthwise_row_4(const conv_job *job, int64_t row) { depthwise_row(0, 4, 0, 0, job, row); }

typedef void (*row_body)(const conv_job *job, int64_t row);

static row_body choose_row(const conv_job *job) {
#define ROW_CHOICE(group, S, step) \
    if (IS_FORM(job, group, S, step)) return depthwise_row_##group##_##S##_##step;
    ROW_FORMS(ROW_CHOICE)
    return job->group == 1 ? depthwise_row_1 : depthwise_row_4;
}

static void depthwise_task(void *context, int64_t task, int thread) {
    const conv_job *job = context;
    int64_t last = min64((task + 1) * job->rows_per_task, job->N * job->P);
    row_body body = choose_row(job);
    (void)thread;
    for (int64_t row = task * job->rows_per_task; row < last; row++) body(job, row);
    if (writes_around(job)) store_fence();
}

/* Some tasks for each thread, of about 64 KiB of outputs. */
static void depthwise_measure(conv_job *job) {
    int64_t out_rows = job->N * job->P, rows = ((int64_t)1 << 16) / (job->Q * job->K * (int64_t)sizeof(REAL));
    job->rows_per_task = max64(1, min64(rows, ceil_div(out_rows, 4 * fn_threads())));
    job->prepared_bytes = ceil_div(job->K, LANES) * LANES * job->R * job->S * job->group * (int64_t)sizeof(REAL);
    job->scratch_bytes = job->shared_bytes = 0;
}

static void depthwise_prepare(conv_job *job) {
    REAL *to = job->prepared;
    int64_t vectors = ceil_div(job->K, LANES);
    for (int64_t v = 0; v < vectors; v++)
        for (int64_t r = 0; r < job->R; r++)
            for (int64_t c = 0; c < job->group; c++)
                for (int64_t s = 0; s < job->S; s++)
                    for (int64_t k = vector_start(job->K, v), lane = 0; lane < LANES; lane++, k++) {
                        const REAL *w = job->w + k / job->group * job->w_group + k % job->group * job->w_out;
                        *to++ = k < job->K ? w[r * job->w_tap_h + s * job->w_tap_w + c * job->w_in] : 0;
                    }
}

static void depthwise_execute(conv_job *job) {
    double work =
        (double)(job->N * job->P * job->Q) * (double)(job->R * job->S * job->group + 1) * (double)job->K / LANES;
    fn_parallel(ceil_div(job->N * job->P, job->rows_per_task), work, depthwise_task, job);
}
