/* The input gradient: a job for each phase of the stride (conv_job.h); each writes its own pixels of dx. */

/* The taps along one axis that pixels phase + stride*i of the input gradient meet, in ascending order of p. */
typedef struct {
    int64_t count, last, step, first_p, step_p; /* tap numbers last, last - step, ...; p = i + first_p + j*step_p */
} phase_taps;

INLINE phase_taps find_phase(int64_t phase, int64_t padding, int64_t taps, int64_t stride, int64_t dilation) {
    int64_t a = stride, b = dilation % stride;
    while (b) { /* gcd */
        int64_t rest = a % b;
        a = b, b = rest;
    }
    phase_taps found = {0, 0, stride / a, 0, dilation / a};
    int64_t first = 0;
    while (first < taps && (phase + padding - first * dilation) % stride) first++;
    if (first < taps) {
        found.count = (taps - 1 - first) / found.step + 1;
        found.last = first + (found.count - 1) * found.step;
        found.first_p = (phase + padding - found.last * dilation) / stride;
    }
    return found;
}

/* The jobs of one group, or of all when they go together. */
typedef struct {
    int64_t count;
    conv_job *jobs;
} phase_jobs;

INLINE conv_job phase_job(const fn_conv *g, int64_t group, int64_t a, int64_t b, const REAL *dy, const REAL *w,
                          const REAL *add, REAL *dx) {
    int64_t together = groups_together(g), taps = g->R * g->S, depth = g->C / g->groups;
    int64_t C = depth * together, K = g->K / g->groups * together;
    phase_taps v = find_phase(a, g->pad_top, g->R, g->stride_h, g->dilation_h);
    phase_taps h = find_phase(b, g->pad_left, g->S, g->stride_w, g->dilation_w);
    return (conv_job){
        .N = g->N,
        .H = g->P,
        .W = g->Q,
        .C = K,
        .in_pixel = g->K,
        .in = dy + group * K,
        .P = ceil_div(g->H - a, g->stride_h),
        .Q = ceil_div(g->W - b, g->stride_w),
        .K = C,
        .out_image = g->H * g->W * g->C,
        .out_row = g->stride_h * g->W * g->C,
        .out_pixel = g->stride_w * g->C,
        .out = dx + (a * g->W + b) * g->C + group * C,
        .R = v.count && h.count ? v.count : 0,
        .S = h.count,
        .step_h = 1,
        .step_w = 1,
        .first_h = v.first_p,
        .first_w = h.first_p,
        .tap_h = v.step_p,
        .tap_w = h.step_p,
        .w = w + group * K * depth * taps + v.last * g->S + h.last,
        .w_tap_h = -v.step * g->S,
        .w_tap_w = -h.step,
        .w_in = depth * taps,
        .w_out = taps,
        .group = together > 1 ? depth : 0,
        .w_group = depth * depth * taps,
        .end = {.add = add, .out = dx},
    };
}

static void phases_end(phase_jobs *phases) {
    for (int64_t i = 0; i < phases->count; i++) fn_free(phases->jobs[i].prepared);
    fn_free(phases->jobs);
}

/* Weights prepared; phases_end is due even where memory ran out. */
static fn_status phases_begin(const fn_conv *g, int64_t group, const REAL *dy, const REAL *w, const REAL *add, REAL *dx,
                              phase_jobs *phases) {
    int64_t down = min64(g->stride_h, g->H), across = min64(g->stride_w, g->W);
    phases->count = 0;
    phases->jobs = fn_alloc((size_t)(down * across) * sizeof(conv_job), FN_SCRATCH);
    if (!phases->jobs) return FN_NO_MEMORY;
    for (int64_t i = 0; i < down * across; i++) {
        conv_job *job = &phases->jobs[phases->count];
        *job = phase_job(g, group, i / across, i % across, dy, w, add, dx);
        job->form = conv_choose(job);
        conv_measure(job);
        job->prepared = fn_alloc((size_t)job->prepared_bytes, FN_SCRATCH);
        if (!job->prepared) return FN_NO_MEMORY;
        phases->count++;
        conv_prepare(job);
    }
    return FN_OK;
}

/* All phases of images [first, first + count), whose dy lies at `dy`. */
static fn_status phases_run(const phase_jobs *phases, const REAL *dy, int64_t first, int64_t count) {
    fn_status status = FN_OK;
    for (int64_t i = 0; i < phases->count && status == FN_OK; i++)
        status = conv_run_images(&phases->jobs[i], dy, first, count);
    return status;
}

/* Some images at a time, so that the phases, which take turns in the same lines of dx, meet in the cache. */
typedef struct {
    const phase_jobs *phases;
    int64_t images, together, image; /* image: numbers of dy */
    const REAL *dy;
    fn_status status;
} phase_tasks;

enum { PHASE_BYTES = 384 << 10 };

static void phase_task(void *context, int64_t task, int thread) {
    phase_tasks *tasks = context;
    int64_t first = task * tasks->together;
    int before = fn_use_threads(1);
    (void)thread;
    fn_status status = phases_run(tasks->phases, tasks->dy + first * tasks->image, first,
                                  min64(tasks->together, tasks->images - first));
    if (status != FN_OK) __atomic_store_n(&tasks->status, status, __ATOMIC_RELAXED);
    fn_use_threads(before);
}

/* Depthwise phases need no scratch: a task is a few rows of each. */
static void phase_rows(void *context, int64_t task, int thread) {
    const phase_jobs *phases = context;
    for (int64_t i = 0; i < phases->count; i++) depthwise_task(&phases->jobs[i], task, thread);
}

static void phases_by_rows(const phase_jobs *phases) {
    int64_t most = 0, rows = phases->jobs->rows_per_task;
    double work = 0;
    for (int64_t i = 0; i < phases->count; i++) {
        conv_job *job = &phases->jobs[i];
        job->rows_per_task = rows;
        most = max64(most, ceil_div(job->N * job->P, rows));
        work += (double)(job->N * job->P * job->Q * (job->R * job->S * job->group + 1)) * (double)job->K / LANES;
    }
    note_form(BY_DEPTHWISE);
    fn_parallel(most, work, phase_rows, (void *)phases);
}

static fn_status conv_grad_input(const fn_conv *g, const void *dy, const void *w, const void *add, void *dx) {
    fn_status status = FN_OK;
    if (g->N * g->H * g->W == 0) return FN_OK;
    if (is_scatter(g)) {
        fn_note("scatter");
        return scatter_grad_input(g, dy, w, add, dx);
    }
    int64_t image = g->P * g->Q * g->K, bytes = (image + g->H * g->W * g->C) * (int64_t)sizeof(REAL);
    int64_t together = max64(1, min64(g->N, PHASE_BYTES / bytes));
    for (int64_t group = 0; group < conv_jobs(g) && status == FN_OK; group++) {
        if (g->stride_h * g->stride_w == 1) { /* one phase, whose weights serve this one execution */
            conv_job job = phase_job(g, group, 0, 0, dy, w, add, dx);
            status = conv_run(&job);
            continue;
        }
        phase_jobs phases;
        status = phases_begin(g, group, dy, w, add, dx, &phases);
        phase_tasks tasks = {&phases, g->N, together, image, status == FN_OK ? phases.jobs->in : NULL, status};
        if (status == FN_OK && phases.jobs->form == BY_DEPTHWISE) phases_by_rows(&phases);
        else if (status == FN_OK && g->N < 4 * fn_threads() * together)
            tasks.status = phases_run(&phases, tasks.dy, 0, g->N);
        else if (status == FN_OK) {
            double work = (double)(g->N * image) * (double)(g->C * g->R * g->S) / LANES;
            fn_parallel(ceil_div(g->N, together), work, phase_task, &tasks);
        }
        status = tasks.status;
        phases_end(&phases);
    }
    return status;
}
