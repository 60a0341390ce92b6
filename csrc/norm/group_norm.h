/* Group norm: how an image is read, the tables of gamma and beta, passes, kernels. Needs norm/group_values.h. */

/* Values of gamma or beta in the order in which rows read them. `made`: memory to free, or NULL. */
static fn_status group_affine(const group_job *job, int64_t by_pixel, int64_t by_channel, const void *given, REAL fill,
                              const REAL **table, REAL **made) {
    int64_t count = job->step ? job->size : job->width, C = job->C;
    *made = NULL;
    *table = given;
    if (given && job->step && job->pixels == 1) return FN_OK; /* already in that order */
    REAL *values = fn_alloc((size_t)(count + LANES) * sizeof(REAL), FN_SCRATCH);
    *table = *made = values;
    if (!values) return FN_NO_MEMORY;
    const REAL *from = given;
    if (!from)
        for (int64_t i = 0; i < count; i++) values[i] = fill;
    else if (job->step && by_channel) to_channels_last(1, C, job->pixels, from, values);
    else
        for (int64_t p = 0; p * C < count; p++)
            for (int64_t c = 0; c < C; c++) values[p * C + c] = from[p * by_pixel + c * by_channel];
    return FN_OK;
}

typedef struct {
    group_job job;
    int threads;
    REAL *made[2];
} group_call;

/* Prepares all but the arrays that differ between the passes. */
static fn_status group_begin(group_call *call, int64_t by_pixel, int64_t by_channel, const void *gamma,
                             const void *beta) {
    group_job *job = &call->job;
    int ended = ends_apart(job->end.activation);
    int64_t C = job->C, each = by_pixel != 0 || job->pixels == 1, any = gamma || beta;
    job->size = job->pixels * C;
    job->one = job->groups == 1 && (each || !any);
    job->width = min64(job->size, job->one ? GROUP_WIDTH : fold_of(C) * C);
    job->step = each && any ? job->width : 0;
    job->ahead = job->size <= fn_speed.affine_block ? job->size : 0;
    job->piece = ended ? job->width * max64(1, fn_speed.affine_block / job->width) : 0;
    call->threads = fn_threads();
    job->scratch = fn_alloc((size_t)(call->threads * group_scratch(job)) * sizeof(double), FN_SCRATCH);
    if (!job->scratch) return FN_NO_MEMORY;
    fn_status status = group_affine(job, by_pixel, by_channel, gamma, 1, &job->gamma, &call->made[0]);
    if (status != FN_OK) return status;
    return group_affine(job, by_pixel, by_channel, beta, 0, &job->beta, &call->made[1]);
}

static void group_end(group_call *call) {
    fn_free(call->job.scratch);
    fn_free(call->made[0]);
    fn_free(call->made[1]);
}

static void group_forward_task(void *context, int64_t task, int thread) {
    const group_job *job = context;
    group_room room = group_room_of(job, thread);
    const double share = (double)job->groups / (double)job->size;
    int64_t last = min64((task + 1) * job->many, job->images), groups = job->groups;
    for (int64_t image = task * job->many; image < last; image++) {
        double *mean = job->mean + image * groups, *var = job->var + image * groups;
        group_sums(SUM_X, job, &room, image, NULL, NULL);
        for (int64_t g = 0; g < groups; g++) room.value[0][g] = (REAL)(room.total[0][g] * share);
        group_table(job, room.value[0], group_place(job, &room, GROUP_MEAN));
        group_sums(SUM_SQUARES, job, &room, image, NULL, NULL);
        for (int64_t g = 0; g < groups; g++) { /* deviations from the rounded mean have a small mean of their own */
            double rest = room.total[0][g] * share;
            mean[g] = multiply_add_double(room.total[0][g], share, (double)room.value[0][g]);
            var[g] = multiply_add_double(-rest, rest, room.total[1][g] * share);
        }
        group_coefficients(job, &room, mean, var);
        group_maps(0, job, &room, image);
    }
    if (job->large) store_fence();
}

static void group_backward_task(void *context, int64_t part, int thread) {
    const group_job *job = context;
    group_room room = group_room_of(job, thread);
    const double share = (double)job->groups / (double)job->size;
    int64_t first = job->images * part / job->parts, last = job->images * (part + 1) / job->parts, groups = job->groups;
    REAL *elements = job->elements ? job->elements + part * 2 * job->size : NULL;
    double *channels = job->columns ? job->columns + part * 2 * job->C : NULL;
    if (elements) memset(elements, 0, (size_t)(2 * job->size) * sizeof(REAL));
    if (channels) memset(channels, 0, (size_t)(2 * job->C) * sizeof(double));
    for (int64_t image = first; image < last; image++) {
        const double *mean = job->known_mean + image * groups, *var = job->known_var + image * groups;
        group_coefficients(job, &room, mean, var);
        group_sum gated = elements ? SUM_GATED_ELEMENTS : SUM_GATED, plain = elements ? SUM_ELEMENTS : SUM_GRADIENT;
        group_sums(job->relu ? gated : plain, job, &room, image, elements, channels);
        if (!job->y) continue;
        for (int64_t g = 0; g < groups; g++) {
            double scale = -share / sqrt(var[g] + job->eps);
            room.value[0][g] = (REAL)(room.total[0][g] * scale);
            room.value[1][g] = (REAL)(room.total[1][g] * scale);
        }
        group_table(job, room.value[0], group_place(job, &room, GROUP_SHIFT));
        group_table(job, room.value[1], group_place(job, &room, GROUP_SLOPE));
        group_maps(GROUP_BACK, job, &room, image);
    }
    if (job->large) store_fence();
}

static fn_status group_run(group_call *call, int64_t tasks, fn_task body) {
    group_job *job = &call->job;
    int64_t bytes = job->images * job->size * (int64_t)sizeof(REAL), run = job->width * (int64_t)sizeof(REAL);
    job->large = job->size % job->width == 0 && is_large(job->y, run, bytes); /* rows of whole cache lines */
    int shared = tasks < call->threads && job->size >= call->threads * fn_speed.affine_block; /* worth its barriers */
    job->team = shared ? call->threads : 1;
    if (job->team == 1) {
        fn_parallel_on(call->threads, tasks, 6 * (double)(job->images * job->size) / LANES, body, job);
        return FN_OK;
    }
    job->blocks = fn_alloc((size_t)(2 * group_blocks(job) * job->width) * sizeof(REAL), FN_SCRATCH);
    for (int64_t task = 0; task < tasks && job->blocks; task++) body(job, task, 0);
    fn_status status = job->blocks ? FN_OK : FN_NO_MEMORY;
    fn_free(job->blocks);
    return status;
}

static fn_status group_norm(int64_t images, int64_t pixels, int64_t C, int64_t groups, int64_t by_pixel,
                            int64_t by_channel, double eps, const void *x, const void *gamma, const void *beta,
                            const fn_epilogue *end, void *y, double *mean, double *var) {
    group_call call = {.job = {.images = images,
                               .pixels = pixels,
                               .C = C,
                               .groups = groups,
                               .eps = eps,
                               .relu = end->activation == FN_ACTIVATION_relu,
                               .x = x,
                               .y = y,
                               .before = end->before,
                               .mean = mean,
                               .var = var}};
    group_job *job = &call.job;
    if (images * pixels * C == 0) return FN_OK;
    double *moments = mean ? NULL : fn_alloc((size_t)(2 * images * groups) * sizeof(double), FN_SCRATCH);
    fn_status status = mean || moments ? ending_begin(&job->end, C, end) : FN_NO_MEMORY;
    if (status == FN_OK) status = group_begin(&call, by_pixel, by_channel, gamma, beta);
    if (status == FN_OK) {
        if (moments) job->mean = moments, job->var = moments + images * groups;
        job->many = max64(1, min64(fn_speed.affine_elements / job->size, images / (4 * call.threads)));
        status = group_run(&call, ceil_div(images, job->many), group_forward_task);
    }
    group_end(&call);
    ending_end(&job->end);
    fn_free(moments);
    return status;
}

/* Sums over parts, in the memory of part 0. */
typedef struct {
    const group_job *job;
    int64_t block;
} group_addition;

static void group_addition_task(void *context, int64_t task, int thread) {
    const group_addition *sums = context;
    const group_job *job = sums->job;
    int64_t all = 2 * job->size, end = min64(all, (task + 1) * sums->block);
    double total[256];
    (void)thread;
    for (int64_t first = task * sums->block; first < end; first += 256) {
        int64_t count = min64(256, end - first);
        memset(total, 0, sizeof total);
        for (int64_t part = 0; part < job->parts; part++)
            for (int64_t i = 0; i < count; i++) total[i] += (double)job->elements[part * all + first + i];
        for (int64_t i = 0; i < count; i++) job->elements[first + i] = (REAL)total[i];
    }
}

/* dgamma or dbeta, in the order of the parameter, from the sums of parts. k: 0 for dbeta, 1 for dgamma */
static void group_gradient(const group_job *job, int k, int64_t by_pixel, int64_t by_channel, REAL *out) {
    int64_t C = job->C, pixels = job->pixels;
    if (job->columns)
        for (int64_t c = 0; c < C; c++) {
            double total = 0;
            for (int64_t part = 0; part < job->parts; part++) total += job->columns[(2 * part + k) * C + c];
            out[c] = (REAL)total;
        }
    else if (by_channel) to_channels_first(1, C, pixels, job->elements + k * job->size, out);
    else
        for (int64_t p = 0; p < pixels; p++) {
            double total = 0;
            for (int64_t c = 0; c < C; c++) total += (double)job->elements[k * job->size + p * C + c];
            out[p * by_pixel] = (REAL)total;
        }
}

/* The number of parts, and memory for their sums; at most NORM_ROWS images are summed in REAL. */
static fn_status group_parts(group_job *job, int wanted, double **columns, REAL **elements) {
    int64_t images = job->images, pair = 2 * job->size * (int64_t)sizeof(REAL);
    job->parts = max64(1, min64(NORM_PARTS, images));
    if (job->step) {
        int64_t few = min64(images, min64(GROUP_PARTS, GROUP_PART_BYTES / pair));
        job->parts = max64(1, max64(ceil_div(images, NORM_ROWS), few));
        job->elements = *elements = fn_alloc((size_t)(job->parts * pair), FN_SCRATCH);
        return *elements ? FN_OK : FN_NO_MEMORY;
    }
    if (!wanted) return FN_OK;
    job->columns = *columns = fn_alloc((size_t)(2 * job->parts * job->C) * sizeof(double), FN_SCRATCH);
    return *columns ? FN_OK : FN_NO_MEMORY;
}

static fn_status group_norm_backward(int64_t images, int64_t pixels, int64_t C, int64_t groups, int64_t by_pixel,
                                     int64_t by_channel, double eps, int relu, const void *dy, const void *x,
                                     const void *gamma, const void *beta, const double *mean, const double *var,
                                     void *dx, void *dgamma, void *dbeta) {
    group_call call = {.job = {.images = images,
                               .pixels = pixels,
                               .C = C,
                               .groups = groups,
                               .eps = eps,
                               .relu = relu,
                               .x = x,
                               .dy = dy,
                               .y = dx,
                               .known_mean = mean,
                               .known_var = var}};
    group_job *job = &call.job;
    REAL *outputs[2] = {dbeta, dgamma}, *elements = NULL;
    double *columns = NULL;
    if (images * pixels * C == 0) {
        int64_t count = (by_pixel ? pixels : 1) * (by_channel ? C : 1);
        for (int k = 0; k < 2; k++)
            if (outputs[k]) memset(outputs[k], 0, (size_t)count * sizeof(REAL));
        return FN_OK;
    }
    fn_status status = group_begin(&call, by_pixel, by_channel, gamma, beta);
    if (status == FN_OK) status = group_parts(job, dgamma || dbeta, &columns, &elements);
    if (status == FN_OK) {
        status = group_run(&call, job->parts, group_backward_task);
        if (status == FN_OK && elements && (dgamma || dbeta)) {
            group_addition sums = {job, 4096};
            double work = (double)(2 * job->size * job->parts) / LANES;
            fn_parallel_on(call.threads, ceil_div(2 * job->size, sums.block), work, group_addition_task, &sums);
        }
        for (int k = 0; k < 2 && status == FN_OK; k++)
            if (outputs[k]) group_gradient(job, k, by_pixel, by_channel, outputs[k]);
    }
    fn_free(elements);
    fn_free(columns);
    group_end(&call);
    return status;
}
