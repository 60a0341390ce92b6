/* A mutex, initialised by FN_LOCK_INIT. It wraps the system's lock, since C11's <threads.h> is missing on macOS and
 * before Windows 11's SDK; flags and counters are C11 atomics. */
#ifndef FASTNET_LOCK_H
#define FASTNET_LOCK_H

#if defined(_WIN32)

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

typedef SRWLOCK fn_lock;
#define FN_LOCK_INIT SRWLOCK_INIT
static inline void fn_acquire(fn_lock *lock) { AcquireSRWLockExclusive(lock); }
static inline void fn_release(fn_lock *lock) { ReleaseSRWLockExclusive(lock); }

#else

#include <pthread.h>

typedef pthread_mutex_t fn_lock;
#ifdef PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP /* with _GNU_SOURCE: spins a little before it sleeps */
#define FN_LOCK_INIT PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP
#else
#define FN_LOCK_INIT PTHREAD_MUTEX_INITIALIZER
#endif
static inline void fn_acquire(fn_lock *lock) { pthread_mutex_lock(lock); }
static inline void fn_release(fn_lock *lock) { pthread_mutex_unlock(lock); }

#endif

#endif
