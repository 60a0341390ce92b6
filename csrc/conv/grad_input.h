/* The input gradient, by the first algorithm that fits: scatter, or one convolution for each phase of the stride
 * (conv/job.h); each phase writes its own pixels of dx.  Needs conv/algorithms.h and conv/scatter.h.
 */

/* The taps along one axis that read pixels phase + stride*i of dx, in ascending order of p. */
typedef struct {
    int64_t count, last, step, first_p, step_p; /* taps last, last - step, ...; p = i + first_p + j*step_p */
} phase_taps;

INLINE phase_taps find_phase(int64_t phase, int64_t padding, int64_t taps, int64_t stride, int64_t dilation) {
    int64_t a = stride, b = dilation % stride;
    while (b) { /* gcd */
        int64_t rest = a % b;
        a = b;
        b = rest;
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

/* The jobs of one group, or of all groups if one job takes them together. */
typedef struct {
    int64_t count;
    conv_job *jobs;
} phase_jobs;

INLINE conv_job phase_job(const input_gradient *of, int64_t group, int64_t a, int64_t b) {
    const fn_conv *g = of->g;
    int64_t together = groups_together(g), taps = g->R * g->S, depth = g->C / g->groups;
    int64_t C = depth * together, K = g->K / g->groups * together;
    phase_taps v = find_phase(a, g->pad_top, g->R, g->stride_h, g->dilation_h);
    phase_taps h = find_phase(b, g->pad_left, g->S, g->stride_w, g->dilation_w);
    return (conv_job){
        .conv =
            {
                .N = g->N,
                .H = g->P,
                .W = g->Q,
                .C = K,
                .P = ceil_div(g->H - a, g->stride_h),
                .Q = ceil_div(g->W - b, g->stride_w),
                .K = C,
                .R = v.count && h.count ? v.count : 0,
                .S = h.count,
                .stride_h = 1,
                .stride_w = 1,
                .first_h = v.first_p,
                .first_w = h.first_p,
                .tap_h = v.step_p,
                .tap_w = h.step_p,
                .group = together > 1 ? depth : 0,
            },
        .at =
            {
                .in = of->dy + group * K,
                .in_pixel = g->K,
                .out = of->dx + (a * g->W + b) * g->C + group * C,
                .out_image = g->H * g->W * g->C,
                .out_row = g->stride_h * g->W * g->C,
                .out_pixel = g->stride_w * g->C,
                .w = of->w + group * K * depth * taps + v.last * g->S + h.last,
                .w_tap_h = -v.step * g->S,
                .w_tap_w = -h.step,
                .w_in = depth * taps,
                .w_out = taps,
                .w_group = depth * depth * taps,
            },
        .end = {.add = of->add, .out = of->dx},
        .run = {.threads = of->threads},
    };
}

static void phases_end(phase_jobs *phases) {
    for (int64_t i = 0; i < phases->count; i++) fn_free(phases->jobs[i].run.prepared);
    fn_free(phases->jobs);
}

/* Prepare the weights; call phases_end even if memory ran out. */
static fn_status phases_begin(const input_gradient *of, int64_t group, phase_jobs *phases) {
    int64_t down = min64(of->g->stride_h, of->g->H), across = min64(of->g->stride_w, of->g->W);
    phases->count = 0;
    phases->jobs = fn_alloc((size_t)(down * across) * sizeof(conv_job), FN_SCRATCH);
    if (!phases->jobs) return FN_NO_MEMORY;
    for (int64_t i = 0; i < down * across; i++) {
        conv_job *job = &phases->jobs[phases->count];
        *job = phase_job(of, group, i / across, i % across);
        if (conv_begin(job) != FN_OK) return FN_NO_MEMORY;
        phases->count++;
    }
    return FN_OK;
}

/* All phases of images [first, first + count); `dy` is the gradient of these images. */
static fn_status phases_run(const phase_jobs *phases, int threads, int64_t first, int64_t count, const REAL *dy) {
    fn_status status = FN_OK;
    for (int64_t i = 0; i < phases->count && status == FN_OK; i++) {
        const conv_layout *at = &phases->jobs[i].at;
        status = conv_run_images(&phases->jobs[i], threads, count, dy, at->out + first * at->out_image);
    }
    return status;
}

/* A few images at a time: the phases write the same cache lines of dx, which then stay in the cache. */
typedef struct {
    const phase_jobs *phases;
    int64_t images, together, image_size; /* image_size: of dy */
    fn_status status;
} phase_tasks;

INLINE void note_failure(fn_status status, fn_status *shared) {
    if (status != FN_OK) __atomic_store_n(shared, status, __ATOMIC_RELAXED);
}

static void phase_task(void *context, int64_t task, int thread) {
    phase_tasks *tasks = context;
    int64_t first = task * tasks->together, count = min64(tasks->together, tasks->images - first);
    const REAL *dy = tasks->phases->jobs->at.in + first * tasks->image_size;
    (void)thread;
    note_failure(phases_run(tasks->phases, 1, first, count, dy), &tasks->status);
}

/* Depthwise phases need no scratch: a task is a few rows of each. */
static void phase_rows(void *context, int64_t task, int thread) {
    const phase_jobs *phases = context;
    for (int64_t i = 0; i < phases->count; i++) depthwise_task(&phases->jobs[i], task, thread);
}

static void phases_by_rows(phase_jobs *phases) {
    int64_t most = 0, rows = phases->jobs->run.rows_per_task;
    double work = 0;
    for (int64_t i = 0; i < phases->count; i++) {
        const conv_problem *conv = &phases->jobs[i].conv;
        phases->jobs[i].run.rows_per_task = rows;
        most = max64(most, ceil_div(conv->N * conv->P, rows));
        work +=
            (double)(conv->N * conv->P * conv->Q) * (double)((conv->R * conv->S * conv->group + 1) * conv->K) / LANES;
    }
    fn_note(phases->jobs->run.algorithm->name);
    fn_parallel_on(phases->jobs->run.threads, most, work, phase_rows, phases);
}

static fn_status strided_group(const input_gradient *of, int64_t group) {
    const fn_conv *g = of->g;
    int64_t image_size = g->P * g->Q * g->K, bytes = (image_size + g->H * g->W * g->C) * (int64_t)sizeof(REAL);
    int64_t together = max64(1, min64(g->N, fn_speed.phase_bytes / bytes));
    phase_jobs phases;
    fn_status status = phases_begin(of, group, &phases);
    if (status == FN_OK && phases.jobs->conv.group) phases_by_rows(&phases);
    else if (status == FN_OK && g->N < fn_speed.tasks_per_thread * of->threads * together)
        status = phases_run(&phases, of->threads, 0, g->N, phases.jobs->at.in);
    else if (status == FN_OK) {
        phase_tasks tasks = {&phases, g->N, together, image_size, FN_OK};
        fn_parallel_on(of->threads, ceil_div(g->N, together), conv_work(g), phase_task, &tasks);
        status = tasks.status;
    }
    phases_end(&phases);
    return status;
}

static fn_status phases_grad_input(const input_gradient *of) {
    fn_status status = FN_OK;
    for (int64_t group = 0; group < conv_jobs(of->g) && status == FN_OK; group++) {
        if (of->g->stride_h * of->g->stride_w > 1) status = strided_group(of, group);
        else { /* one phase; its weights are used once */ conv_job job = phase_job(of, group, 0, 0);
            status = conv_run(&job);
        }
    }
    return status;
}

static int phases_fit(const fn_conv *g) {
    (void)g;
    return 1;
}

/* The first that fits is run. */
static const struct {
    const char *name; /* as profiles show it; NULL: the jobs record their own */
    int (*fits)(const fn_conv *g);
    fn_status (*run)(const input_gradient *of);
} input_algorithms[] = {
    {"scatter", scatter_fits, scatter_run},
    {NULL, phases_fit, phases_grad_input},
};

static fn_status conv_grad_input(const fn_conv *g, const void *dy, const void *w, const void *add, void *dx) {
    const input_gradient of = {g, dy, w, add, dx, fn_threads()};
    int i = 0;
    if (g->N * g->H * g->W == 0) return FN_OK;
    while (!input_algorithms[i].fits(g)) i++;
    if (input_algorithms[i].name) fn_note(input_algorithms[i].name);
    return input_algorithms[i].run(&of);
}
