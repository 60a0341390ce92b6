/* fn_parallel decides how many threads run a kernel's tasks.  They are thread_pool.c's or, built with -fopenmp,
 * OpenMP's. */
#include "fastnet.h"
#include "runtime/subnormals.h"
#include "runtime/thread_pool.h"
#include "tuning.h"

#include <stdatomic.h>
#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef FN_POSIX
#include <pthread.h>
#endif

static _Atomic int thread_count = 1;
static _Atomic int region_busy =
    0; /* a thread is in a parallel region; others run serially to avoid oversubscription */
static _Thread_local int alone = 0; /* kernels that this thread calls leave the pool to others */
static int forked = 0; /* threads do not survive a fork: a child runs on one thread, with the same bits */

const char *fn_threading(void) {
#if defined(_OPENMP)
    return "OpenMP";
#elif defined(FN_THREAD_POOL)
    return "own pool of POSIX threads";
#else
    return "none: single-threaded build";
#endif
}

#ifdef FN_POSIX
static void before_fork(void) { fn_lock_memory(1); }
static void after_fork_in_parent(void) { fn_lock_memory(0); }
static void after_fork_in_child(void) {
    fn_lock_memory(0);
    forked = 1;
    atomic_store(&region_busy, 0);
}
#endif

void fn_set_threads(int count) {
#ifdef FN_POSIX
    static int registered = 0;
    if (!registered) registered = !pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
#endif
    atomic_store_explicit(&thread_count, count, memory_order_relaxed);
}

void fn_run_alone(void) { alone = 1; }

int fn_threads(void) {
#if defined(_OPENMP) || defined(FN_THREAD_POOL)
    return forked || alone ? 1 : atomic_load_explicit(&thread_count, memory_order_relaxed);
#else
    return 1;
#endif
}

static void run_together(int threads, int64_t tasks, fn_task body, void *context) {
#if defined(_OPENMP)
#pragma omp parallel num_threads(threads)
    {
        unsigned state = fn_flush_subnormals();
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < tasks; i++) body(context, i, omp_get_thread_num());
        fn_restore_subnormals(state);
    }
#elif defined(FN_THREAD_POOL)
    fn_thread_pool_run(threads, tasks, body, context);
#else
    (void)threads, (void)tasks, (void)body, (void)context;
#endif
}

void fn_parallel_on(int threads, int64_t tasks, double work, fn_task body, void *context) {
    if (tasks < threads) threads = (int)tasks;
    unsigned state = fn_flush_subnormals();
    if (threads > 1 && work >= (double)fn_speed.small_work && tasks < INT32_MAX &&
        !atomic_exchange_explicit(&region_busy, 1, memory_order_acquire)) {
        run_together(threads, tasks, body, context);
        atomic_store_explicit(&region_busy, 0, memory_order_release);
    } else {
        for (int64_t i = 0; i < tasks; i++) body(context, i, 0);
    }
    fn_restore_subnormals(state);
}

void fn_parallel(int64_t tasks, double work, fn_task body, void *context) {
    fn_parallel_on(fn_threads(), tasks, work, body, context);
}
