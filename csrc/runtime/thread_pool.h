/* A pool of threads for one caller at a time. */
#ifndef FASTNET_THREAD_POOL_H
#define FASTNET_THREAD_POOL_H

#include "fastnet.h"

#if defined(__unix__) || defined(__APPLE__)
#define FN_POSIX 1
#endif

#if defined(FN_POSIX) && !defined(_OPENMP)
#define FN_THREAD_POOL 1
/* Call body(context, i, thread) for i in [0, tasks), tasks < 2^31, on the caller (thread 0) and up to threads - 1
 * others. */
void fn_thread_pool_run(int threads, int64_t tasks, fn_task body, void *context);
#endif

#endif
