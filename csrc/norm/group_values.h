/* Group norm: y or dx of an image from the coefficients of its groups, with what it ends in. Needs norm/groups.h. */

/* Repeat the values of the groups in their columns. */
static void group_table(const group_job *job, const REAL *values, REAL *table) {
    int64_t run = job->C / job->groups;
    if (job->one) table[0] = values[0];
    else
        for (int64_t first = 0; first < job->width; first += job->C)
            for (int64_t g = 0; g < job->groups; g++)
                for (int64_t c = 0; c < run; c++) table[first + g * run + c] = values[g];
}

/* The coefficient `which` of all columns, from a value for each group. */
INLINE REAL *group_place(const group_job *job, const group_room *room, int which) {
    return room->tables + which * (job->one ? 1 : job->width);
}

/* The tables of mean, inverse and exact, from the exact moments. */
static void group_coefficients(const group_job *job, const group_room *room, const double *mean, const double *var) {
    REAL *values[2] = {room->value[0], room->value[1]};
    for (int64_t g = 0; g < job->groups; g++) values[0][g] = (REAL)mean[g];
    group_table(job, values[0], group_place(job, room, GROUP_MEAN));
    for (int64_t g = 0; g < job->groups; g++) {
        double inverse = 1 / sqrt(var[g] + job->eps), rest = (double)(REAL)mean[g] - mean[g];
        values[0][g] = (REAL)inverse;
        values[1][g] = (REAL)(rest * inverse);
    }
    group_table(job, values[0], group_place(job, room, GROUP_INVERSE));
    group_table(job, values[1], group_place(job, room, GROUP_EXACT));
}

enum { GROUP_RELU = 1, GROUP_BACK = 2, GROUP_LARGE = 4, GROUP_ONE = 8 };

/* A vector of columns, from column c on: y = xhat*gamma + beta, or dx. */
INLINE void group_vector(const int flags, int64_t width, int64_t c, int64_t here, const REAL *tables, const REAL *gamma,
                         const REAL *beta, const REAL *x, const REAL *dy, REAL *y) {
    const int one = flags & GROUP_ONE;
    vec t[GROUP_TABLES];
    UNROLL_FOR (int k = 0; k < GROUP_TABLES; k++)
        if (k <= GROUP_EXACT || flags & GROUP_BACK)
            t[k] = one ? broadcast(tables[k]) : load_part(tables + k * width + c, here);
    vec xhat = multiply_add(load_part(x + c, here) - t[GROUP_MEAN], t[GROUP_INVERSE], t[GROUP_EXACT]);
    vec weight = load_part(gamma + c, here), value = {0};
    if (!(flags & GROUP_BACK) || flags & GROUP_RELU) value = multiply_add(xhat, weight, load_part(beta + c, here));
    if (flags & GROUP_BACK) {
        vec g = load_part(dy + c, here);
        if (flags & GROUP_RELU) g = blend(value > (vec){0}, g, (vec){0});
        value = multiply_add(g * weight, t[GROUP_INVERSE], t[GROUP_SHIFT]);
        value = multiply_add(xhat, t[GROUP_SLOPE], value);
    } else if (flags & GROUP_RELU) value = rectify(value);
    if (flags & GROUP_LARGE) store_around(y + c, value);
    else store_part(y + c, value, here);
}

/* Elements [first, last) of an image, whole rows except at its end; y: of the first. */
INLINE void group_map(const int flags, const group_job *job, const REAL *tables, int64_t image, int64_t first,
                      int64_t last, REAL *y) {
    const int64_t width = job->width, skipped = first / width * job->step;
    const REAL *gamma = job->gamma + skipped, *beta = job->beta + skipped;
    for (int64_t e = first; e < last; e += width, gamma += job->step, beta += job->step, y += width) {
        const REAL *x = job->x + image * job->size + e, *dy = job->dy + image * job->size + e;
        int64_t columns = min64(width, last - e), c = 0;
        for (; c + LANES <= columns; c += LANES) group_vector(flags, width, c, LANES, tables, gamma, beta, x, dy, y);
        if (c < columns) group_vector(flags, width, c, columns - c, tables, gamma, beta, x, dy, y);
    }
}

static void group_map_some(int flags, const group_job *job, const REAL *tables, int64_t image, int64_t first,
                           int64_t last, REAL *y) {
    switch (flags) {
#define GROUP_MAP(flags) \
    case flags: group_map(flags, job, tables, image, first, last, y); break;
#define GROUP_MAPS(flags)            \
    GROUP_MAP(flags)                 \
    GROUP_MAP((flags) | GROUP_LARGE) \
    GROUP_MAP((flags) | GROUP_ONE)   \
    GROUP_MAP((flags) | GROUP_LARGE | GROUP_ONE)
        GROUP_MAPS(0)
        GROUP_MAPS(GROUP_RELU)
        GROUP_MAPS(GROUP_BACK)
        GROUP_MAPS(GROUP_BACK | GROUP_RELU)
    }
}

/* The same with the activation, into the image's place in y. */
static void group_map_ended(int flags, const group_job *job, const group_room *room, int64_t image, int64_t first,
                            int64_t last, REAL *piece) {
    const int64_t start = image * job->size;
    if (!job->piece) {
        group_map_some(flags, job, room->tables, image, first, last, job->y + start + first);
        return;
    }
    for (int64_t e = first; e < last; e += job->piece) {
        int64_t end = min64(last, e + job->piece);
        REAL *before = job->before ? job->before + start + e : NULL;
        group_map_some(flags & ~GROUP_LARGE, job, room->tables, image, e, end, piece);
        ending_store(&job->end, e, end - e, piece, before, job->y + start + e, job->large);
    }
}

static void group_map_task(void *context, int64_t task, int thread) {
    const group_share *share = context;
    int64_t first = task * share->step, last = min64(first + share->step, share->job->size);
    group_map_ended(share->flags, share->job, share->room, share->image, first, last,
                    group_room_of(share->job, thread).piece);
    if (share->job->large) store_fence();
}

/* y or dx of an image. */
static void group_maps(int back, const group_job *job, const group_room *room, int64_t image) {
    int flags = back | (job->relu ? GROUP_RELU : 0) | (job->large ? GROUP_LARGE : 0) | (job->one ? GROUP_ONE : 0);
    if (job->team <= 1) {
        group_map_ended(flags, job, room, image, 0, job->size, room->piece);
        return;
    }
    int64_t step = job->width * max64(1, fn_speed.affine_elements / job->width);
    group_share share = {.job = job, .room = room, .image = image, .step = step, .flags = flags};
    fn_parallel_on(job->team, ceil_div(job->size, step), 2 * (double)job->size / LANES, group_map_task, &share);
}
