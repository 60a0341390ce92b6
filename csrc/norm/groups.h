/* Group norm, whose cases are layer norm (one group) and instance norm (groups of one channel): each image's channels
 * are normalised in groups, over their pixels, and multiplied by gamma and shifted by beta. Needs norm/moments.h.
 *
 * A task does all passes over an image while it is cached; if there are fewer images than threads, all threads do each
 * pass over an image together (`team`). An image is read as rows of `width` columns, multiples of C (fold_of), or
 * GROUP_WIDTH columns where the whole image is one group and nothing is wanted per channel (`one`); the last row may be
 * shorter. Columns are summed over blocks of NORM_ROWS rows in REAL, and blocks, columns and parts in double, always in
 * the same order, whichever thread summed a block. gamma and beta have a value for each column (`step` 0) or for each
 * element.
 */
typedef struct {
    int64_t images, pixels, C, groups;
    int64_t size, width, step; /* elements of an image, columns of a row, what gamma and beta advance by after a row */
    int64_t many, parts; /* images of a task; parts that dgamma and dbeta are summed in */
    double eps;
    int relu, large, one;
    int64_t ahead; /* elements to the next image, which the forward pass prefetches if both stay in L1, or 0 */
    int team; /* threads that share each image, or 1 */
    REAL *blocks; /* of a team: (blocks of an image, 2, width) */
    const REAL *x, *dy;
    REAL *y; /* or dx */
    ending end; /* of y: an activation, unless it is a ReLU */
    int64_t piece; /* elements of y that are computed in a thread's buffer before it */
    REAL *before; /* its argument; or NULL */
    const REAL *gamma, *beta; /* in the order of the image's elements */
    double *mean, *var, *scratch; /* mean, var: (images, groups); scratch: group_scratch doubles for each thread */
    const double *known_mean, *known_var;
    double *columns; /* (parts, 2, C): sums for dgamma and dbeta, or, with a step: */
    REAL *elements; /* (parts, 2, size) */
} group_job;

/* Coefficients of the columns, `width` of each; with `one`, a single set:
 * xhat = (x - mean)*inverse + exact; dx = g*inverse + shift + xhat*slope. */
enum { GROUP_MEAN, GROUP_INVERSE, GROUP_EXACT, GROUP_SHIFT, GROUP_SLOPE, GROUP_TABLES };

typedef enum { SUM_X, SUM_SQUARES, SUM_GRADIENT, SUM_GATED, SUM_ELEMENTS, SUM_GATED_ELEMENTS } group_sum;

/* One thread's memory. */
typedef struct {
    double *first, *second; /* sums of the columns */
    double *total[2]; /* and of the groups */
    REAL *value[2]; /* of the groups */
    REAL *block[2]; /* sums of the columns of a block */
    REAL *tables;
    REAL *piece;
} group_room;

INLINE int64_t group_scratch(const group_job *job) { /* in doubles; REAL is no larger */
    return (4 + GROUP_TABLES) * job->width + 4 * job->groups + job->piece;
}

INLINE group_room group_room_of(const group_job *job, int thread) {
    double *first = job->scratch + thread * group_scratch(job), *total = first + 2 * job->width;
    REAL *value = (REAL *)(total + 2 * job->groups), *block = value + 2 * job->groups;
    return (group_room){first,
                        first + job->width,
                        {total, total + job->groups},
                        {value, value + job->groups},
                        {block, block + job->width},
                        block + 2 * job->width,
                        (REAL *)(first + group_scratch(job) - job->piece)};
}

/* A coefficient of vector v of up to 4 vectors of columns. */
INLINE vec group_coefficient(const int one, const int v, const int vectors, const REAL *table, int64_t lanes) {
    return one ? broadcast(*table) : column_load(v, vectors, table, lanes);
}

/* The sums of `vectors` vectors of columns over a block of rows, from element `at` of all images and element `inside`
 * of its own. `elements`: dbeta and dgamma of each element of the image. */
INLINE void group_block(const group_sum kind, const int one, const int vectors, const group_job *job,
                        const group_room *room, int64_t at, int64_t inside, int64_t column, int64_t rows, int64_t lanes,
                        REAL *elements) {
    const int gradient = kind >= SUM_GRADIENT, gated = kind == SUM_GATED || kind == SUM_GATED_ELEMENTS;
    const int each = kind == SUM_ELEMENTS || kind == SUM_GATED_ELEMENTS;
    const int64_t width = job->width, by = inside / width * job->step + column;
    const REAL *tables = room->tables + (one ? 0 : column);
    const int64_t apart = one ? 1 : width;
    vec mean[4], inverse[4], exact[4], first[4] = {{0}}, second[4] = {{0}};
    UNROLL_FOR (int v = 0; v < vectors; v++) {
        if (kind != SUM_X) mean[v] = group_coefficient(one, v, vectors, tables + GROUP_MEAN * apart, lanes);
        if (gradient) inverse[v] = group_coefficient(one, v, vectors, tables + GROUP_INVERSE * apart, lanes);
        if (gradient) exact[v] = group_coefficient(one, v, vectors, tables + GROUP_EXACT * apart, lanes);
    }
    for (int64_t i = 0; i < rows; i++)
        UNROLL_FOR (int v = 0; v < vectors; v++) {
            int64_t k = column + i * width, b = by + i * job->step;
            vec value = column_load(v, vectors, job->x + at + k, lanes);
            if (kind == SUM_SQUARES) __builtin_prefetch(job->x + at + k + v * LANES + job->ahead);
            if (kind == SUM_X) first[v] += value;
            if (kind == SUM_X) continue;
            value -= mean[v];
            if (!gradient) {
                first[v] += value;
                second[v] = multiply_add(value, value, second[v]);
                continue;
            }
            vec g = column_load(v, vectors, job->dy + at + k, lanes), gamma = {0};
            vec xhat = multiply_add(value, inverse[v], exact[v]);
            if (gated || each) gamma = column_load(v, vectors, job->gamma + b, lanes);
            if (gated) {
                vec beta = column_load(v, vectors, job->beta + b, lanes);
                g = blend(multiply_add(xhat, gamma, beta) > (vec){0}, g, (vec){0});
            }
            if (each) {
                REAL *dbeta = elements + inside + k + v * LANES, *dgamma = dbeta + job->size;
                int64_t here = v < vectors - 1 ? LANES : lanes;
                store_part(dbeta, load_part(dbeta, here) + g, here);
                store_part(dgamma, multiply_add(g, xhat, load_part(dgamma, here)), here);
                first[v] = multiply_add(g, gamma, first[v]);
                second[v] = multiply_add(g * gamma, xhat, second[v]);
                continue;
            }
            first[v] += g;
            second[v] = multiply_add(g, xhat, second[v]);
        }
    UNROLL_FOR (int v = 0; v < vectors; v++) {
        int64_t here = v < vectors - 1 ? LANES : lanes;
        store_part(room->block[0] + column + v * LANES, first[v], here);
        if (kind != SUM_X) store_part(room->block[1] + column + v * LANES, second[v], here);
    }
}

/* Blocks of NORM_ROWS rows of an image; the last is a row that is shorter, if there is one. */
INLINE int64_t group_blocks(const group_job *job) {
    return ceil_div(job->size / job->width, NORM_ROWS) + (job->size % job->width > 0);
}

/* The first element of block b. */
INLINE int64_t group_start(const group_job *job, int64_t b) {
    return min64(b * NORM_ROWS, job->size / job->width) * job->width;
}

/* The sums of a block's columns. */
INLINE void group_sum_block(const group_sum kind, const int one, const group_job *job, const group_room *room,
                            int64_t image, int64_t b, REAL *elements) {
    const int64_t width = job->width, e = group_start(job, b), columns = min64(width, job->size - e);
    const int64_t rows = max64(1, min64(NORM_ROWS, (job->size - e) / width)), at = image * job->size + e;
    for (int64_t c = 0, vectors; c < columns; c += vectors * LANES) {
        int64_t left = ceil_div(columns - c, LANES);
        vectors = left == 5 ? 3 : min64(left, 4); /* avoid a single vector: its chain of additions would stall */
        int64_t lanes = min64(LANES, columns - c - (vectors - 1) * LANES);
#define GROUP_BLOCK(vectors) group_block(kind, one, vectors, job, room, at, e, c, rows, lanes, elements)
        SPECIALISE(vectors, GROUP_BLOCK)
    }
}

static void group_sum_some(group_sum kind, const group_job *job, const group_room *room, int64_t image, int64_t b,
                           REAL *elements) {
    switch (kind) {
#define GROUP_SUM(kind)                                                        \
    case kind:                                                                 \
        if (job->one) group_sum_block(kind, 1, job, room, image, b, elements); \
        else group_sum_block(kind, 0, job, room, image, b, elements);          \
        break;
        GROUP_SUM(SUM_X)
        GROUP_SUM(SUM_SQUARES)
        GROUP_SUM(SUM_GRADIENT)
        GROUP_SUM(SUM_GATED)
        GROUP_SUM(SUM_ELEMENTS)
        GROUP_SUM(SUM_GATED_ELEMENTS)
    }
}

/* Add the sums of block b to those of the image's columns, or, with job->one, of the image. */
INLINE void group_add_block(group_sum kind, const group_job *job, const group_room *room, int64_t b) {
    int64_t columns = min64(job->width, job->size - group_start(job, b));
    for (int k = 0; k < (kind == SUM_X ? 1 : 2); k++) {
        const REAL *block = room->block[k];
        double *sums = k ? room->second : room->first;
        if (job->one) room->total[k][0] += sum_row(columns, block);
        else
            for (int64_t c = 0; c < columns; c++) sums[c] += (double)block[c];
    }
}

/* An image that a team shares. */
typedef struct {
    const group_job *job;
    const group_room *room;
    int64_t image, step; /* elements of a task */
    group_sum kind;
    int flags;
    REAL *elements;
} group_share;

/* Where a team keeps the sums of block b. */
INLINE group_room group_room_of_block(const group_job *job, const group_room *given, int64_t b) {
    group_room room = *given;
    for (int k = 0; k < 2; k++) room.block[k] = job->blocks + (2 * b + k) * job->width;
    return room;
}

static void group_sum_task(void *context, int64_t b, int thread) {
    const group_share *share = context;
    group_room room = group_room_of_block(share->job, share->room, b);
    (void)thread;
    group_sum_some(share->kind, share->job, &room, share->image, b, share->elements);
}

static void group_columns_of_team(group_sum kind, const group_job *job, const group_room *room, int64_t image,
                                  REAL *elements) {
    group_share share = {.job = job, .room = room, .image = image, .kind = kind, .elements = elements};
    int64_t blocks = group_blocks(job);
    fn_parallel_on(job->team, blocks, 2 * (double)job->size / LANES, group_sum_task, &share);
    for (int64_t b = 0; b < blocks; b++) {
        group_room of_block = group_room_of_block(job, room, b);
        group_add_block(kind, job, &of_block, b);
    }
}

/* The sums of an image's columns; or, with job->one, of the image. */
static void group_columns(group_sum kind, const group_job *job, const group_room *room, int64_t image, REAL *elements) {
    if (job->one) room->total[0][0] = room->total[1][0] = 0;
    else memset(room->first, 0, (size_t)(2 * job->width) * sizeof(double));
    if (job->team > 1) {
        group_columns_of_team(kind, job, room, image, elements);
        return;
    }
    for (int64_t b = 0, blocks = group_blocks(job); b < blocks; b++) {
        group_sum_some(kind, job, room, image, b, elements);
        group_add_block(kind, job, room, b);
    }
}

/* Eight interleaved partial sums: one chain of additions would stall. */
INLINE double sum_run(int64_t n, const double *x) {
    double part[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++) part[k] += x[i + k];
    for (int k = 0; i + k < n; k++) part[k] += x[i + k];
    return sum_eight(part);
}

/* Add the sums of columns to those of their channels. */
static void group_channels(const group_job *job, const group_room *room, double *dbeta) {
    double *dgamma = dbeta + job->C;
    for (int64_t first = 0; first < job->width; first += job->C)
        for (int64_t c = 0; c < job->C; c++) {
            dbeta[c] += room->first[first + c];
            dgamma[c] += room->second[first + c];
        }
}

/* The sums of an image's columns, and of its groups, whose channels are `run` adjacent columns in each C. Those of
 * gradients are multiplied by gamma first, which belongs to columns unless it belongs to elements. */
static void group_sums(group_sum kind, const group_job *job, const group_room *room, int64_t image, REAL *elements,
                       double *channels) {
    group_columns(kind, job, room, image, elements);
    if (job->one) return;
    if (channels) group_channels(job, room, channels);
    int64_t run = job->C / job->groups, C = job->C;
    for (int k = 0; k < (kind == SUM_X ? 1 : 2); k++) {
        double *sums = k ? room->second : room->first;
        for (int64_t j = 0; j < job->width && (kind == SUM_GRADIENT || kind == SUM_GATED); j++)
            sums[j] *= (double)job->gamma[j];
        for (int64_t g = 0; g < job->groups; g++) {
            double total = 0;
            for (int64_t c = g * run; c < job->width; c += C) total += sum_run(run, sums + c);
            room->total[k][g] = total;
        }
    }
}
