/* A pool of POSIX threads that never waits for an idle thread.
 *
 * An OpenMP region ends only when every thread has entered and left it. On a shared machine, a thread that is
 * descheduled for milliseconds then delays every kernel: training steps were 20 to 50 times slower beside one busy
 * process. Here all threads, the caller included, claim tasks one by one, and the caller returns when all claimed tasks
 * are done; a late worker finds nothing to claim.
 *
 * `ticket` holds the job's number in its upper half and the next unclaimed task in its lower half; one
 * compare-and-swap changes both.  A worker reads the job, then claims a task: if the swap succeeds, the task was
 * unclaimed until then, so the job is still running and the worker's copy is valid. The ticket is closed before the
 * next job is written, so that no claim on the old job can succeed.
 */
#define _POSIX_C_SOURCE 200809L
#include "runtime/thread_pool.h"
#include "runtime/lock.h"
#include "runtime/subnormals.h"

#ifdef FN_THREAD_POOL

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

/* How often to poll the ticket before sleeping: 50 to 100 microseconds, longer than Python takes between two kernels.
 */
enum { SPINS = 2000 };

#define CLOSED UINT32_MAX /* as the next task: none is left */

static _Atomic uint64_t ticket;
static _Atomic(fn_task) job_body;
static _Atomic(void *) job_context;
static _Atomic int64_t job_tasks, job_done;
static _Atomic int job_threads, sleepers;
static int workers; /* threads started so far */
static fn_lock sleep_lock = FN_LOCK_INIT;
static pthread_cond_t woken = PTHREAD_COND_INITIALIZER;

static inline void pause_briefly(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void work_on(uint64_t job, int thread) {
    for (;;) {
        uint64_t now = atomic_load(&ticket);
        if (now >> 32 != job || thread >= atomic_load(&job_threads)) return;
        int64_t task = (int64_t)(uint32_t)now;
        fn_task body = atomic_load(&job_body);
        void *context = atomic_load(&job_context);
        if (task >= atomic_load(&job_tasks)) return;
        if (!atomic_compare_exchange_strong(&ticket, &now, now + 1)) continue;
        body(context, task, thread);
        atomic_fetch_add(&job_done, 1);
    }
}

static void sleep_until_not(uint64_t seen) {
    fn_acquire(&sleep_lock);
    atomic_fetch_add(&sleepers, 1);
    while (atomic_load(&ticket) >> 32 == seen) pthread_cond_wait(&woken, &sleep_lock);
    atomic_fetch_sub(&sleepers, 1);
    fn_release(&sleep_lock);
}

static void *worker(void *argument) {
    uint64_t seen = 0;
    fn_flush_subnormals();
    for (;;) {
        int spins = 0;
        while (atomic_load(&ticket) >> 32 == seen && spins++ < SPINS) pause_briefly();
        if (atomic_load(&ticket) >> 32 == seen) sleep_until_not(seen);
        seen = atomic_load(&ticket) >> 32;
        work_on(seen, (int)(intptr_t)argument);
    }
    return NULL;
}

/* Signals are left to Python's threads. */
static void start_workers(int count) {
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    while (workers < count && !pthread_create(&thread, &attributes, worker, (void *)(intptr_t)(workers + 1))) workers++;
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void fn_thread_pool_run(int threads, int64_t tasks, fn_task body, void *context) {
    if (workers < threads - 1) start_workers(threads - 1);
    uint64_t before = atomic_load(&ticket) >> 32, job = (uint32_t)(before + 1);
    atomic_store(&ticket, before << 32 | CLOSED);
    atomic_store(&job_body, body);
    atomic_store(&job_context, context);
    atomic_store(&job_tasks, tasks);
    atomic_store(&job_threads, threads);
    atomic_store(&job_done, 0);
    atomic_store(&ticket, job << 32);
    if (atomic_load(&sleepers)) {
        fn_acquire(&sleep_lock);
        pthread_cond_broadcast(&woken);
        fn_release(&sleep_lock);
    }
    work_on(job, 0);
    for (int spins = 0; atomic_load(&job_done) < tasks;)
        if (spins < SPINS) spins++, pause_briefly();
        else sched_yield();
}

#else
typedef int no_thread_pool;
#endif
