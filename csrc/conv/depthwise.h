/* Depthwise convolution, and groups of 4 channels in and 4 out.  Vectors run along all channels of a pixel; lane k
 * takes channel c of its own group from the same vector of the input.  Needs conv/job.h.
 *
 * A strip is COLUMNS neighbouring outputs of a row times one vector of channels.  A row's last strip ends with the row,
 * and so computes some outputs again.  Where a filter row's taps are compile-time constants, columns that they share
 * are loaded once.  Columns outside the image are zeros.  Weights are packed as [vector][r][c][s][lane], which is also
 * each output's order of summation.
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

INLINE row_view moved(row_view in, int64_t elements) { /* to another row, or other channels */
    in.row += elements;
    return in;
}

INLINE vec load_column(const int full, const int inside, row_view in, int64_t i) {
    int64_t at = in.start + i;
    return inside || (at >= 0 && at < in.size) ? load_channels(full, in.row + at * in.pixel, in.channels) : (vec){0};
}

/* The input columns of a strip: between the first and the last tap. */
INLINE int64_t strip_width(const int S, const int step, const conv_problem *conv) {
    return S ? (COLUMNS - 1) * step + S : (COLUMNS - 1) * conv->stride_w + (conv->S - 1) * conv->tap_w + 1;
}

enum { LINE = 64 / VECTOR_BYTES }; /* vectors in a cache line */

/* Prefetch the input columns of a strip that the next output row reads first: some CPUs do not detect such short runs
 * of cache lines as a stream. The vectors of a cache line share the rows, so that no vector prefetches many at once. */
INLINE void prefetch_columns(const conv_problem *conv, const REAL *soon, int64_t pixel, int64_t v) {
    soon += v / LINE * (LINE * LANES);
    for (int64_t i = v % LINE; i < conv->stride_h; i += LINE)
        for (int64_t j = 0; j < COLUMNS * conv->stride_w; j++) __builtin_prefetch(soon + (i * conv->W + j) * pixel);
}

/* ---- forward, and the input gradient ---- */

/* How many of a strip's first and last input columns lie outside the image. ANYWHERE: not known at compile time, so
 * that each column is tested. */
typedef struct {
    int left, right;
} edges;
#define INSIDE ((edges){0, 0})
#define ANYWHERE ((edges){-1, -1})
INLINE int are_known(const edges outside) { return outside.left >= 0; }

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
INLINE void filter_row(const int full, const edges outside, const int group, const int S, const int step,
                       const conv_problem *conv, row_view in, const REAL *w, vec *sum) {
    if (!S) {
        any_filter_row(full, are_known(outside), group, conv, in, w, sum);
        return;
    }
    vec x[WIDE_MOST];
    const int wide = (COLUMNS - 1) * step + S;
    UNROLL_FOR (int i = 0; i < wide; i++)
        x[i] = i < outside.left || i >= wide - outside.right ? (vec){0} : load_column(full, are_known(outside), in, i);
    UNROLL_FOR (int c = 0; c < group; c++) {
        vec own[WIDE_MOST];
        UNROLL_FOR (int i = 0; i < wide; i++) own[i] = of_group(group, c, x[i]);
        UNROLL_FOR (int s = 0; s < S; s++) {
            vec weight = load(w + (c * S + s) * LANES);
            UNROLL_FOR (int j = 0; j < COLUMNS; j++) sum[j] += own[j * step + s] * weight;
        }
    }
}

/* A strip of all channels. */
typedef struct {
    row_view in; /* of the first filter row inside the image */
    int64_t r0, rows; /* the number of this row, and of all inside */
    int64_t live; /* output columns from the strip's first on */
    REAL *out;
    const REAL *soon; /* where the strip below begins to read rows that this one does not */
} strip;

/* y of one vector of channels. R: the filter rows inside the image, if known at compile time, or 0. */
INLINE void strip_outputs(const int full, const edges outside, const int group, const int S, const int step,
                          const int R, const conv_job *job, const strip *of, int64_t v, vec *y) {
    const conv_problem *conv = &job->conv;
    int64_t first = vector_start(conv->K, v), taps_row = group * conv->S * LANES;
    int64_t in_row = conv->tap_h * of->in.size * of->in.pixel;
    const REAL *w = job->run.prepared + (v * conv->R + of->r0) * taps_row;
    row_view in = moved(of->in, first);
    UNROLL_FOR (int j = 0; j < COLUMNS; j++) y[j] = (vec){0};
    if (R)
        UNROLL_FOR (int r = 0; r < R; r++)
            filter_row(full, outside, group, S, step, conv, moved(in, r * in_row), w + r * taps_row, y);
    else
        for (int64_t r = 0; r < of->rows; r++)
            filter_row(full, outside, group, S, step, conv, moved(in, r * in_row), w + r * taps_row, y);
    finish_row(COLUMNS, are_known(outside) ? COLUMNS : of->live, &job->end, y,
               load_per_channel(job->end.scale, first, conv->K), load_per_channel(job->end.shift, first, conv->K),
               load_per_channel(job->end.slopes, first, conv->K), of->out + first, job->at.out_pixel, conv->K);
}

/* All vectors from number v on, one by one. */
INLINE void strip_vectors(const int full, const edges outside, const int group, const int S, const int step,
                          const conv_job *job, const strip *of, int64_t v) {
    const conv_problem *conv = &job->conv;
    int64_t vectors = ceil_div(conv->K, LANES), pixel = job->at.out_pixel;
    for (; v < vectors; v++) {
        int64_t first = vector_start(conv->K, v), again = v * LANES - first; /* lanes already stored */
        REAL *out = of->out + first;
        vec y[COLUMNS];
        prefetch_columns(conv, of->soon, of->in.pixel, v);
        strip_outputs(full, outside, group, S, step, 0, job, of, v, y);
        UNROLL_FOR (int j = 0; j < COLUMNS; j++) {
            if (!are_known(outside) && j >= of->live) break;
            if (full && again > 0) y[j] = blend(lane_numbers() < (whole)again, load(out + j * pixel), y[j]);
            store_channels(full, out + j * pixel, y[j], conv->K);
        }
    }
}

/* Inside the image, as many vectors at a time as fill a cache line: they share addresses. around: store past the
 * caches. Returns the number of vectors done. */
INLINE int64_t strip_lines(const int group, const int S, const int step, const int R, const int around,
                           const conv_job *job, const strip *of) {
    int64_t vectors = job->conv.K / (LINE * LANES) * LINE, pixel = job->at.out_pixel;
    for (int64_t v = 0; v < vectors; v += LINE) {
        REAL *out = of->out + v * LANES;
        vec y[LINE][COLUMNS];
        UNROLL_FOR (int u = 0; u < LINE; u++) {
            prefetch_columns(&job->conv, of->soon, of->in.pixel, v + u);
            strip_outputs(1, INSIDE, group, S, step, R, job, of, v + u, y[u]);
        }
        if (around)
            UNROLL_FOR (int j = 0; j < COLUMNS; j++)
                UNROLL_FOR (int u = 0; u < LINE; u++) store_around(out + j * pixel + u * LANES, y[u][j]);
        else
            UNROLL_FOR (int j = 0; j < COLUMNS; j++)
                UNROLL_FOR (int u = 0; u < LINE; u++) store(out + j * pixel + u * LANES, y[u][j]);
    }
    return vectors;
}

INLINE void depthwise_row(const int full, const int group, const int S, const int step, const conv_job *job,
                          int64_t row) {
    const conv_problem *conv = &job->conv;
    int64_t image = row / conv->P, p = row % conv->P, h = p * conv->stride_h + conv->first_h, r0, r1;
    int64_t pixel = job->at.in_pixel, in_row = conv->W * pixel;
    const REAL *in = job->at.in + (image * conv->H + h) * in_row;
    const int around = stores_past_caches(job);
    taps_inside(h, conv->tap_h, conv->H, conv->R, &r0, &r1);
    REAL *out = job->at.out + image * job->at.out_image + p * job->at.out_row;
    const int before = (S - 1) / 2, behind = S / 2; /* what most convolutions pad */
    for (int64_t at = 0; at < conv->Q; at += COLUMNS) {
        /* `add` may be the output, which is not to be added to twice */
        int64_t q = conv->Q < COLUMNS || job->end.add ? at : min64(at, conv->Q - COLUMNS), live = conv->Q - q;
        int64_t start = q * conv->stride_w + conv->first_w, left = max64(0, -start),
                right = max64(0, start + strip_width(S, step, conv) - conv->W);
        const strip of = {
            .in = {in + r0 * conv->tap_h * in_row, start, conv->W, pixel, conv->K},
            .r0 = r0,
            .rows = r1 - r0,
            .live = live,
            .out = out + q * job->at.out_pixel,
            .soon = in + ((conv->R - 1) * conv->tap_h + 1) * in_row + start * pixel,
        };
        const int inside = left == 0 && right == 0 && live >= COLUMNS;
        const int whole_filter = of.rows == S; /* mostly: filters are square */
        if (inside) {
            int64_t done = 0;
            if (S && whole_filter) done = strip_lines(group, S, step, S, around, job, &of);
            else if (S) done = strip_lines(group, S, step, 0, around, job, &of);
            strip_vectors(full, INSIDE, group, S, step, job, &of, done);
        } else if (before && left == before && right == 0 && live >= COLUMNS)
            strip_vectors(full, ((edges){before, 0}), group, S, step, job, &of, 0);
        else if (behind && left == 0 && right == behind && live >= COLUMNS)
            strip_vectors(full, ((edges){0, behind}), group, S, step, job, &of, 0);
        else strip_vectors(full, ANYWHERE, group, S, step, job, &of, 0);
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
