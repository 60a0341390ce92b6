/* A batch: the loops of several kernel calls, run as one.  A step of an optimiser updates dozens of parameters; threads
 * then meet once, not once for each of them, and share the elements of all. */
#include "fastnet.h"

#include <string.h>

static _Thread_local fn_batch *open_batch = NULL;

static void run_kept(void *context, int64_t task, int thread) {
    const fn_batch *batch = context;
    int low = 0, high = batch->count; /* the loop that the task belongs to: first[low] <= task < first[high] */
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (batch->first[middle] <= task) low = middle;
        else high = middle;
    }
    batch->body[low]((void *)batch->context[low], task - batch->first[low], thread);
}

static void run_all(fn_batch *batch) {
    if (batch->count) fn_parallel(batch->tasks, batch->work, run_kept, batch);
    batch->count = 0, batch->tasks = 0, batch->work = 0;
}

void fn_batch_begin(fn_batch *batch) {
    batch->count = 0, batch->tasks = 0, batch->work = 0;
    open_batch = batch;
}

void fn_batch_end(void) {
    fn_batch *batch = open_batch;
    open_batch = NULL;
    if (batch) run_all(batch);
}

void fn_parallel_batched(int64_t tasks, double work, fn_task body, const void *context, size_t size, void *written) {
    fn_batch *batch = open_batch;
    if (!batch || size > sizeof batch->context[0]) {
        fn_parallel(tasks, work, body, (void *)context);
        return;
    }
    int again = batch->count == FN_BATCH;
    for (int i = 0; i < batch->count; i++) again |= batch->written[i] == written;
    if (again) run_all(batch);
    int i = batch->count++;
    memcpy(batch->context[i], context, size);
    batch->body[i] = body, batch->first[i] = batch->tasks, batch->written[i] = written;
    batch->tasks += tasks, batch->work += work;
}
