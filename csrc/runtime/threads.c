/* fn_parallel: how many threads work, and when.  The threads themselves are pool.c's; built with -fopenmp, OpenMP's. */
#include "fastnet.h"
#include "runtime/thread_pool.h"

#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef FN_POSIX
#include <pthread.h>
#endif
#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
#define FN_MXCSR 1
#endif

/* Below about this many elementary operations a second thread costs more than it brings (measured, 2 cores). */
#define SMALL_WORK 40000.0

static int thread_count = 1;
static _Thread_local int pinned =
    1; /* of the kernel that this thread runs: scratch is sized by it, whoever sets what */
static int forked = 0; /* threads do not survive a fork: a child runs on one thread, with the same bits */
static int region_busy = 0; /* another thread is in a parallel region: run serially instead of oversubscribing */

const char *fn_threading(void) {
#if defined(_OPENMP)
    return "OpenMP";
#elif defined(FN_POOL)
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
    forked = 1, region_busy = 0;
}
#endif

void fn_set_threads(int count) {
#ifdef FN_POSIX
    static int registered = 0;
    if (!registered) registered = !pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
#endif
    __atomic_store_n(&thread_count, count, __ATOMIC_RELAXED);
}

void fn_pin_threads(void) {
#if defined(_OPENMP) || defined(FN_POOL)
    pinned = __atomic_load_n(&thread_count, __ATOMIC_RELAXED);
#endif
}

int fn_use_threads(int count) {
    int before = pinned;
    pinned = count;
    return before;
}

int fn_threads(void) { return forked ? 1 : pinned; }

/* Subnormal numbers count as zero inside kernels (they cost a hundred cycles on some CPUs); callers see no change. */
unsigned fn_flush_subnormals(void) {
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

static void run_together(int threads, int64_t tasks, fn_task body, void *context) {
#if defined(_OPENMP)
#pragma omp parallel num_threads(threads)
    {
        unsigned state = fn_flush_subnormals();
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < tasks; i++) body(context, i, omp_get_thread_num());
        restore(state);
    }
#elif defined(FN_POOL)
    fn_pool_run(threads, tasks, body, context);
#else
    (void)threads, (void)tasks, (void)body, (void)context;
#endif
}

void fn_parallel(int64_t tasks, double work, fn_task body, void *context) {
    int threads = fn_threads();
    if (tasks < threads) threads = (int)tasks;
    unsigned state = fn_flush_subnormals();
    if (threads > 1 && work >= SMALL_WORK && tasks < INT32_MAX &&
        !__atomic_exchange_n(&region_busy, 1, __ATOMIC_ACQUIRE)) {
        run_together(threads, tasks, body, context);
        __atomic_store_n(&region_busy, 0, __ATOMIC_RELEASE);
    } else {
        for (int64_t i = 0; i < tasks; i++) body(context, i, 0);
    }
    restore(state);
}
