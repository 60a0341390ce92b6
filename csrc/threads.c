/* Threads: one OpenMP region serves every kernel.  Without OpenMP everything runs on the calling thread. */
#include "fastnet.h"

#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif
#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
#define FN_MXCSR 1
#endif

static int thread_count = 1;
static int forked = 0;      /* OpenMP's threads do not survive a fork: a child runs on one thread, with the same bits */
static int region_busy = 0; /* another thread is in a parallel region: run serially instead of oversubscribing */

/* Below about this many elementary operations a second thread costs more than it brings (measured, 2 cores). */
#define SMALL_WORK 40000.0

int fn_has_openmp(void) {
#ifdef _OPENMP
    return 1;
#else
    return 0;
#endif
}

#if defined(__unix__) || defined(__APPLE__)
static void before_fork(void) { fn_lock_memory(1); }
static void after_fork_parent(void) { fn_lock_memory(0); }
static void after_fork_child(void) {
    fn_lock_memory(0);
    forked = 1, region_busy = 0;
}
#endif

void fn_set_threads(int count) {
#if defined(__unix__) || defined(__APPLE__)
    static int registered = 0;
    if (!registered) registered = !pthread_atfork(before_fork, after_fork_parent, after_fork_child);
#endif
    thread_count = count;
}

int fn_threads(void) { return forked || !fn_has_openmp() ? 1 : thread_count; }

/* Subnormal numbers count as zero inside kernels (they cost a hundred cycles on some CPUs); callers see no change. */
static unsigned flush_subnormals(void) {
#ifdef FN_MXCSR
    unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);
    return before;
#else
    return 0;
#endif
}

static void restore(unsigned state) {
#ifdef FN_MXCSR
    _mm_setcsr(state);
#else
    (void)state;
#endif
}

static void run_serially(int64_t tasks, fn_task body, void *context) {
    unsigned state = flush_subnormals();
    for (int64_t i = 0; i < tasks; i++) body(context, i, 0);
    restore(state);
}

void fn_parallel(int64_t tasks, double work, fn_task body, void *context) {
    int threads = fn_threads();
    if (tasks < threads) threads = (int)tasks;
#ifdef _OPENMP
    if (threads > 1 && work >= SMALL_WORK && !omp_in_parallel() && !__atomic_exchange_n(&region_busy, 1, __ATOMIC_ACQUIRE)) {
#pragma omp parallel num_threads(threads)
        {
            unsigned state = flush_subnormals();
            int thread = omp_get_thread_num();
#pragma omp for schedule(dynamic, 1)
            for (int64_t i = 0; i < tasks; i++) body(context, i, thread);
            restore(state);
        }
        __atomic_store_n(&region_busy, 0, __ATOMIC_RELEASE);
        return;
    }
#endif
    (void)threads, (void)work;
    run_serially(tasks, body, context);
}
