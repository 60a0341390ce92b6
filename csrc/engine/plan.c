/* Inference plans: the steps of a network, run in sequence in one call.
 *
 * The steps form stretches. A stretch runs a few images at a time, so that the values that only its own steps read
 * stay in the cache; what a later stretch reads is stored in an arena for all images of the call. Offsets and sizes
 * are in bytes per image, so one plan takes any number of images; at most `batch` of them are in the arena. Each call
 * allocates one block from the caching allocator, for the arena, the memory of the stretches, which use it one after
 * the other, and the largest scratch of any step: so calls from several threads do not interfere.
 */
#include "engine/step.h"
#include "tuning.h"

#include <stdatomic.h>
#include <string.h>

const char *const fn_step_names[FN_STEPS] = {
#define STEP(name) [FN_STEP_##name] = #name,
#include "kernels.def"
};

struct fn_plan {
    const fn_kernels *kernels;
    int64_t item, count; /* bytes per element; number of steps */
    int64_t arena, batch; /* bytes per image; the most images that it holds */
    int64_t room; /* of the stretches, for `batch` images, with these threads and SPEED values: */
    int threads;
    int64_t tuned; /* fn_speed.changes */
    fn_step *steps;
};

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* How a stretch runs N images: in `parts`, `abreast` at a time. Either there is one on each thread, so that threads
 * wait for each other only at the end of the stretch, or one after the other, each step on all threads. */
typedef struct {
    int64_t parts;
    int abreast;
} split;

/* A part with a thread of its own reads every step's weights, so its values must take at least as many bytes as the
 * largest weights. */
static split split_of(const fn_step *begin, int64_t N, int threads) {
    int64_t value = begin->inner, each = N / threads;
    if (!value) return (split){1, 1};
    int64_t least = ceil_div(max64(begin->weights, fn_speed.plan_least), value);
    int64_t most = max64(least, fn_speed.plan_bytes / value);
    if (threads == 1 || each < least) return (split){ceil_div(N, most), 1};
    int64_t images = max64(least, min64(most, each / fn_speed.tasks_per_thread));
    return (split){N / (images * threads) * threads, threads};
}

static const fn_step *end_of_stretch(const fn_plan *plan, const fn_step *s) {
    const fn_step *last = plan->steps + plan->count;
    for (s++; s < last && !s->begins;) s++;
    return s;
}

static int64_t scratch_of(const fn_plan *plan, const fn_step *s, int64_t N, int threads) {
    if (s->kind == FN_STEP_conv) return plan->kernels->conv_fixed_scratch(&s->fixed, N, threads);
    return s->kind == FN_STEP_moments ? 2 * s->channels * (int64_t)sizeof(double) : 0;
}

/* Bytes of a part of a stretch: its values, and the largest scratch of any step. Parts differ by one image, and fewer
 * images may need more scratch, because few tiles make Winograd run by points or panels. */
static int64_t part_bytes(const fn_plan *plan, const fn_step *begin, int64_t N, split how, int threads) {
    const fn_step *end = end_of_stretch(plan, begin);
    int64_t larger = ceil_div(N, how.parts), scratch = 0;
    for (const fn_step *s = begin; s < end; s++)
        for (int64_t images = N / how.parts; images <= larger; images++)
            scratch = max64(scratch, scratch_of(plan, s, images, how.abreast > 1 ? 1 : threads));
    return larger * begin->inner + ceil_div(scratch, 64) * 64;
}

static int64_t room_of(const fn_plan *plan, int64_t N, int threads) {
    int64_t room = 0;
    for (const fn_step *s = plan->steps; s < plan->steps + plan->count; s = end_of_stretch(plan, s)) {
        split how = split_of(s, N, threads);
        room = max64(room, how.abreast * part_bytes(plan, s, N, how, threads));
    }
    return room;
}

fn_plan *fn_plan_new(int dtype, int64_t batch, int64_t arena, int64_t count) {
    fn_plan *plan = fn_alloc(sizeof *plan, FN_ARRAY);
    if (!plan) return NULL;
    *plan = (fn_plan){fn_table(dtype), dtype ? 8 : 4, count, arena, batch, 0, 1, 0, NULL};
    plan->steps = fn_alloc((size_t)(count + 1) * sizeof(fn_step), FN_ARRAY);
    if (!plan->steps) {
        fn_free(plan);
        return NULL;
    }
    memset(plan->steps, 0, (size_t)(count + 1) * sizeof(fn_step));
    return plan;
}

void fn_plan_free(fn_plan *plan) {
    if (!plan) return;
    for (int64_t i = 0; i < plan->count; i++) fn_free(plan->steps[i].fixed.prepared);
    fn_free(plan->steps);
    fn_free(plan);
}

fn_status fn_plan_set(fn_plan *plan, int64_t i, const fn_step *step) {
    fn_step *s = plan->steps + i;
    *s = *step;
    if (s->kind != FN_STEP_conv) return FN_OK;
    s->fixed = (fn_fixed_conv){.g = s->conv,
                               .wide = s->wide,
                               .activation = (int)s->activation,
                               .pooled = (int)s->pooled,
                               .a = s->a,
                               .b = s->b};
    s->fixed.g.N = plan->batch;
    s->arrays[0] = s->arrays[1] = s->slopes = NULL; /* the caller may free them after this call */
    return plan->kernels->conv_fix(&s->fixed, step->arrays[0], step->arrays[1], step->slopes);
}

void fn_plan_ready(fn_plan *plan) {
    fn_step *begin = plan->steps;
    for (fn_step *s = plan->steps; s < plan->steps + plan->count; s++) {
        if (s->begins) begin = s;
        begin->weights = max64(begin->weights, s->fixed.bytes);
    }
    plan->threads = fn_threads();
    plan->tuned = fn_speed.changes;
    plan->room = room_of(plan, plan->batch, plan->threads);
}

typedef struct {
    const fn_plan *plan;
    step_call call; /* of all images in the arena */
    const fn_step *begin, *end;
    split how;
    int64_t part_room;
    _Atomic int status;
} stretch;

static void run_part(void *context, int64_t part, int thread) {
    stretch *run = context;
    step_call here = run->call;
    here.first = here.all * part / run->how.parts;
    here.N = here.all * (part + 1) / run->how.parts - here.first;
    here.inner += thread * run->part_room;
    here.scratch = here.inner + here.N * run->begin->inner;
    for (const fn_step *s = run->begin; s < run->end && run->status == FN_OK; s++) {
        fn_status status = run_step(run->plan->kernels, run->plan->item, s, &here);
        if (status != FN_OK) run->status = (int)status;
    }
}

/* All steps on the images of `call`. */
static fn_status run_stretches(const fn_plan *plan, step_call call, int64_t room, int threads) {
    stretch run = {.plan = plan, .call = call, .begin = plan->steps, .status = FN_OK};
    while (run.begin < plan->steps + plan->count && run.status == FN_OK) {
        run.end = end_of_stretch(plan, run.begin);
        run.how = split_of(run.begin, call.all, threads);
        run.part_room = room / run.how.abreast / 64 * 64;
        run.call.threads = run.how.abreast > 1 ? 1 : threads;
        fn_parallel_on(run.how.abreast, run.how.parts, INFINITY, run_part, &run);
        run.begin = run.end;
    }
    return (fn_status)run.status;
}

fn_status fn_plan_run(const fn_plan *plan, int64_t N, const void *x, void *y) {
    if (N == 0) return FN_OK;
    int threads = fn_threads();
    int64_t most = min64(N, plan->batch), rest = N % most;
    int known = most == plan->batch && threads == plan->threads && plan->tuned == fn_speed.changes;
    int64_t room = known ? plan->room : room_of(plan, most, threads);
    if (rest) room = max64(room, room_of(plan, rest, threads));
    char *block = fn_alloc((size_t)(room + most * plan->arena), FN_SCRATCH);
    fn_status status = block ? FN_OK : FN_NO_MEMORY;
    for (int64_t done = 0; done < N && status == FN_OK; done += most) {
        const step_call call = {
            .done = done, .all = min64(most, N - done), .arena = block + room, .inner = block, .x = (char *)x, .y = y};
        status = run_stretches(plan, call, room, threads);
    }
    fn_free(block);
    return status;
}
