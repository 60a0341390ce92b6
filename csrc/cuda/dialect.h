/* What the kernels of this folder are written in: CUDA C++, with macros for what CUDA and the emulator of the tests
 * (tests/cuda/host/emulator.h) spell differently. NVRTC compiles it without system headers, so it includes none. Each
 * .cu is compiled once per dtype, with -DREAL=float or -DREAL=double.
 *
 * KERNEL(name)(IN(real) x, OUT(real) y, Int n, double a)   launched with at most KERNEL_THREADS threads a block
 * KERNEL_BOUNDED(name, threads)(...)                       with at most `threads`, fewer than that
 *     Parameters are IN(T), OUT(T), TABLE(T), Int and double, nothing else: Python's ints and floats arrive so. A null
 *     pointer stands for an array that is absent: `if (bias)`.
 * DEVICE real f(...)            a function for kernels
 * METHOD real f(...)            a member of a struct
 * CONSTANT real table[3] = ...  constants of a file
 * IN(T)                         const T *, an array that nothing writes while the kernel runs
 * OUT(T)                        T *, an array that this kernel writes and may read; no other argument overlaps it,
 *                               except for an IN that is the same array: each element is read there by the thread that
 *                               writes it, before it does
 *     T: real, float, double, Int, int, unsigned, unsigned long long, unsigned char. `IN(real) row = x + i * n` works.
 * TABLE(T)                      an array of addresses of arrays of T, which IN(T) and OUT(T) variables can take; for
 *                               Python an array of int64, 0 where there is no array
 * SHARED(T, name, count);       a block's memory; count is a constant
 * DYNAMIC_SHARED(T, name);      the memory whose bytes the launch gives, aligned to 16; one per kernel, the rest by
 *                               pointer arithmetic (of several types the smallest is declared, the largest is first)
 * SHARED_ARG(T) name            a parameter of a DEVICE function that is shared memory
 * GLOBAL_THREAD, GLOBAL_THREADS index along x of this thread in the grid, and their number: grid-stride loops
 * real4, load4(p), store4(p, v) four reals at once; p is a multiple of 16 bytes (of four floats, of two doubles)
 * infinity(), not_a_number()    reals
 *
 * Nothing contracts a * b + c by itself (--fmad=false): write fma(a, b, c) where one rounding is meant. Every thread of
 * a block reaches every __syncthreads(), and none returns before it; the mask of a warp's function names the lanes that
 * call it, and all of them call it with the same mask; only __syncthreads and a __syncwarp of the whole warp order
 * memory. The emulator refuses whatever breaks these rules. */
#ifndef FASTNET_DIALECT_H
#define FASTNET_DIALECT_H

typedef REAL real;
typedef long long Int;

/* A block of 256 threads has room for all registers that a thread can have. Hence no __launch_bounds__, with which the
 * compiler aims at more blocks at a time, and spills. */
#define KERNEL_THREADS 256

#ifdef __CUDACC__
#define KERNEL(name) extern "C" __global__ void name
#define KERNEL_BOUNDED(name, threads) KERNEL(name)
#define DEVICE static __device__ inline
#define METHOD __device__ __forceinline__
#define CONSTANT __constant__ const
#define IN(T) const T *__restrict__
#define OUT(T) T *__restrict__
#define TABLE(T) T *const *__restrict__
#define SHARED(T, name, count) __shared__ T name[count]
#define SHARED_ARG(T) T *
#define DYNAMIC_SHARED(T, name)                                     \
    extern __shared__ __align__(16) unsigned char dynamic_shared[]; \
    T *const name = reinterpret_cast<T *>(dynamic_shared)
#define ALIGNED(bytes) __align__(bytes)
#define CHECK_ALIGNED(pointer, bytes)
#else
#include <emulator.h>
#endif

#define GLOBAL_THREAD ((Int)blockIdx.x * blockDim.x + threadIdx.x)
#define GLOBAL_THREADS ((Int)gridDim.x * blockDim.x)

struct ALIGNED(16) real4 {
    real x, y, z, w;
};

DEVICE real4 load4(const real *p) {
    CHECK_ALIGNED(p, 16);
    return *reinterpret_cast<const real4 *>(p);
}

DEVICE void store4(real *p, real4 v) {
    CHECK_ALIGNED(p, 16);
    *reinterpret_cast<real4 *>(p) = v;
}

DEVICE real infinity() { return (real)__longlong_as_double(0x7ff0000000000000LL); }

DEVICE real not_a_number() { return (real)__longlong_as_double(0x7ff8000000000000LL); }

#endif
