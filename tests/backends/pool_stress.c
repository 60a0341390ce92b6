/* Three threads call fn_parallel with jobs of changing size; each task must run exactly once (test_pool_threads.py). */
#include "fastnet.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TASKS = 64, ROUNDS = 5000 };

static void add(void *context, int64_t task, int thread) {
    ((int64_t *)context)[task] += task + 1;
    (void)thread;
}

static void *caller(void *argument) {
    int64_t sums[TASKS];
    for (int round = 0; round < ROUNDS; round++) {
        int tasks = round % 2 ? 2 : 1 + round % TASKS; /* a small job, then a large one on the same memory */
        for (int i = 0; i < TASKS; i++) sums[i] = 0;
        fn_parallel(tasks, 1e9, add, sums);
        for (int i = 0; i < TASKS; i++)
            if (sums[i] != (i < tasks ? i + 1 : 0)) {
                printf("round %d of %d tasks: task %d gave %ld\n", round, tasks, i, (long)sums[i]);
                exit(1);
            }
        if (round % 997 == 0) usleep(3000); /* workers fall asleep */
        fn_free(fn_alloc(100 + (size_t)round, FN_ARRAY));
    }
    return argument;
}

int main(void) {
    pthread_t threads[3];
    fn_set_threads(4);
    for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, caller, NULL);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    fn_set_threads(2);
    caller(NULL);
    fn_set_threads(7);
    caller(NULL);
    puts("each task ran once");
    return 0;
}
