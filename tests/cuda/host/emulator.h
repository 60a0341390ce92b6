/* CUDA's language for the host: what csrc/cuda/dialect.h includes where the compiler is g++.
 *
 * A kernel becomes a function that runs once per thread; pointers stay plain pointers. The translation unit is compiled
 * with -fsanitize=thread, so that GCC puts a call before each access of memory, and linked with runtime.cpp instead of
 * libtsan: there the calls find the array by its address and check it (memory.h, races.h). In the same way
 * -fsanitize=bounds,signed-integer-overflow,... calls faults.h. tests/cuda/emulator.py compiles and launches.
 *
 * Promised to be found, in the order in which threads and blocks happen to run:
 *   - an element outside an array (argument, shared), a null pointer, an address that is not aligned for its type;
 *   - shared memory that this block has not written before it is read;
 *   - a race in a block: two threads touch an element, one writes, and neither __syncthreads nor a __syncwarp of their
 *     whole warp lies between; a race of blocks: two blocks of a launch touch an element, one writes;
 *   - a barrier that some threads do not reach, or reach at another line; a warp's function whose mask names lanes
 *     that do not call it, or that reads a lane outside the mask;
 *   - more threads or shared memory than CUDA or KERNEL_BOUNDED allows; signed overflow; a division by 0; an index
 *     outside a local array; a float that its integer type cannot hold.
 * Not found: local variables read before they are written (the compiler warns), and a wrong order that no schedule of
 * the seeds tried shows, such as a sum whose order depends on the grid. */
#pragma once
#include <math.h>
#include <stdint.h>

#include <utility>

struct emulated_point {
    unsigned x, y, z;
};

enum emulated_kind { emulated_shuffle, emulated_vote, emulated_sync };

extern "C" {
/* Constant within a thread, hence within each call of a kernel. */
__attribute__((const)) emulated_point emulated_thread(void);
__attribute__((const)) emulated_point emulated_block(void);
__attribute__((const)) emulated_point emulated_threads(void);
__attribute__((const)) emulated_point emulated_blocks(void);
void emulated_barrier(const char *file, int line);
/* Waits for the lanes of `mask`; a shuffle returns the value of lane `source`, a vote the lanes whose value is not
 * 0. */
uint64_t emulated_collective(emulated_kind kind, unsigned mask, uint64_t value, int source, const char *file, int line);
void *emulated_static_shared(const void *key, const char *name, long long count, int element);
void *emulated_dynamic_shared(const char *name, int element);
void emulated_check_aligned(const void *address, int bytes, const char *file, int line);
}

#define threadIdx emulated_thread()
#define blockIdx emulated_block()
#define blockDim emulated_threads()
#define gridDim emulated_blocks()
#define warpSize 32

#define KERNEL(name) KERNEL_BOUNDED(name, KERNEL_THREADS)
#define KERNEL_BOUNDED(name, threads) \
    __attribute__((noinline)) static emulated_kernel<(threads), KERNEL_THREADS> emulated_##name
#define DEVICE static inline
#define METHOD inline
#define CONSTANT static const
#define IN(T) const T *
#define OUT(T) T *
#define TABLE(T) T *const *
#define SHARED_ARG(T) T *
#define SHARED(T, name, count)                           \
    static const char emulated_key_##name = 0;           \
    constexpr long long emulated_count_##name = (count); \
    T *const name =                                      \
        static_cast<T *>(emulated_static_shared(&emulated_key_##name, #name, emulated_count_##name, sizeof(T)))
#define DYNAMIC_SHARED(T, name) T *const name = static_cast<T *>(emulated_dynamic_shared(#name, sizeof(T)))
#define ALIGNED(bytes) __attribute__((aligned(bytes), may_alias))
#define CHECK_ALIGNED(pointer, bytes) emulated_check_aligned(pointer, bytes, __FILE__, __LINE__)

#define __syncthreads() emulated_barrier(__FILE__, __LINE__)
#define __syncwarp(...) (emulated_warp::sync{__FILE__, __LINE__}(__VA_ARGS__))
#define __ballot_sync(mask, vote) emulated_warp::ballot(__FILE__, __LINE__, mask, vote)
#define __any_sync(mask, vote) (emulated_warp::ballot(__FILE__, __LINE__, mask, vote) != 0)
#define __all_sync(mask, vote) emulated_warp::all(__FILE__, __LINE__, mask, vote)
#define __shfl_sync(...) emulated_warp::shuffle(__FILE__, __LINE__, __VA_ARGS__)
#define __shfl_up_sync(...) emulated_warp::shuffle_up(__FILE__, __LINE__, __VA_ARGS__)
#define __shfl_down_sync(...) emulated_warp::shuffle_down(__FILE__, __LINE__, __VA_ARGS__)
#define __shfl_xor_sync(...) emulated_warp::shuffle_xor(__FILE__, __LINE__, __VA_ARGS__)

namespace emulated_warp {

struct sync {
    const char *file;
    int line;
    void operator()(unsigned mask = 0xffffffffu) const { emulated_collective(emulated_sync, mask, 0, 0, file, line); }
};

inline unsigned ballot(const char *file, int line, unsigned mask, bool vote) {
    return (unsigned)emulated_collective(emulated_vote, mask, vote, 0, file, line);
}

inline bool all(const char *file, int line, unsigned mask, bool vote) { return ballot(file, line, mask, vote) == mask; }

inline int lane() {
    emulated_point i = emulated_thread(), n = emulated_threads();
    return (int)((i.x + n.x * (i.y + n.y * i.z)) % 32);
}

template <class T> T exchange(const char *file, int line, unsigned mask, T value, int source) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles take values of 4 or 8 bytes");
    uint64_t bits = 0;
    __builtin_memcpy(&bits, &value, sizeof value);
    bits = emulated_collective(emulated_shuffle, mask, bits, source, file, line);
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}

template <class T> T shuffle(const char *file, int line, unsigned mask, T value, int source, int width = 32) {
    return exchange(file, line, mask, value, (lane() & -width) | (source & (width - 1)));
}

/* A source outside the segment of `width` lanes is the lane itself. */
template <class T> T shuffle_up(const char *file, int line, unsigned mask, T value, unsigned delta, int width = 32) {
    int here = lane(), there = here - (int)delta;
    return exchange(file, line, mask, value, there < (here & -width) ? here : there);
}

template <class T> T shuffle_down(const char *file, int line, unsigned mask, T value, unsigned delta, int width = 32) {
    int here = lane(), there = here + (int)delta;
    return exchange(file, line, mask, value, there >= (here & -width) + width ? here : there);
}

template <class T> T shuffle_xor(const char *file, int line, unsigned mask, T value, int bits, int width = 32) {
    int here = lane(), there = here ^ bits;
    return exchange(file, line, mask, value, there >= (here & -width) + width ? here : there);
}

} // namespace emulated_warp

inline float max(float a, float b) { return fmaxf(a, b); }
inline float min(float a, float b) { return fminf(a, b); }
inline double max(double a, double b) { return fmax(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline int max(int a, int b) { return a > b ? a : b; }
inline int min(int a, int b) { return a < b ? a : b; }
inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }
inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
inline long long max(long long a, long long b) { return a > b ? a : b; }
inline long long min(long long a, long long b) { return a < b ? a : b; }
inline int __popc(unsigned a) { return __builtin_popcount(a); }
inline int __ffs(int a) { return __builtin_ffs(a); }
inline int __clz(int a) { return a ? __builtin_clz((unsigned)a) : 32; }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }

template <class To, class From> To emulated_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "the same number of bits");
    To to;
    __builtin_memcpy(&to, &from, sizeof to);
    return to;
}

inline int __float_as_int(float a) { return emulated_bits<int>(a); }
inline float __int_as_float(int a) { return emulated_bits<float>(a); }
inline unsigned __float_as_uint(float a) { return emulated_bits<unsigned>(a); }
inline float __uint_as_float(unsigned a) { return emulated_bits<float>(a); }
inline long long __double_as_longlong(double a) { return emulated_bits<long long>(a); }
inline double __longlong_as_double(long long a) { return emulated_bits<double>(a); }

/* The table of kernels, which tests/cuda/emulator.py appends: emulated_entry(emulated_name, "name", "x,y,n", bound). */
template <int threads, int most> using emulated_kernel = std::enable_if_t<threads <= most>;

struct emulated_table_entry {
    const char *name, *parameters, *signature;
    int threads;
    void (*call)(void *const *arguments);
};

template <class T> constexpr char emulated_letter = 0;
template <> constexpr char emulated_letter<float> = 'f';
template <> constexpr char emulated_letter<double> = 'd';
template <> constexpr char emulated_letter<long long> = 'q';
template <> constexpr char emulated_letter<int> = 'i';
template <> constexpr char emulated_letter<unsigned> = 'I';
template <> constexpr char emulated_letter<unsigned long long> = 'Q';
template <> constexpr char emulated_letter<unsigned char> = 'B';

/* Two letters a parameter: v(alue), r(ead), w(ritten) or t(able of written arrays), and its type. */
template <class T> struct emulated_parameter {
    static constexpr char access = 'v', type = emulated_letter<T>;
    static_assert(type == 'q' || type == 'd', "a kernel's parameters are IN, OUT, Int and double");
};

template <class T> struct emulated_parameter<T *> {
    static constexpr char access = 'w', type = emulated_letter<T>;
    static_assert(type != 0, "arrays of real, float, double, Int, int, unsigned (long long), unsigned char");
};

template <class T> struct emulated_parameter<const T *> {
    static constexpr char access = 'r', type = emulated_letter<T>;
    static_assert(type != 0, "arrays of real, float, double, Int, int, unsigned (long long), unsigned char");
};

template <class T> struct emulated_parameter<T *const *> {
    static constexpr char access = 't', type = emulated_letter<T>;
    static_assert(type != 0, "tables of arrays of real, float, double, Int, int, unsigned (long long), unsigned char");
};

template <class F, F *kernel> struct emulated_caller;

template <class... P, void (*kernel)(P...)> struct emulated_caller<void(P...), kernel> {
    static constexpr char signature[] = {emulated_parameter<P>::access..., emulated_parameter<P>::type..., 0};

    template <size_t... i>
    __attribute__((no_sanitize("thread"))) static void apply(void *const *arguments, std::index_sequence<i...>) {
        kernel(*static_cast<P *>(arguments[i])...);
    }
    __attribute__((no_sanitize("thread"))) static void call(void *const *arguments) {
        apply(arguments, std::index_sequence_for<P...>());
    }
};

template <class F, F *kernel>
constexpr emulated_table_entry emulated_entry(const char *name, const char *parameters, int threads) {
    using caller = emulated_caller<F, kernel>;
    return {name, parameters, caller::signature, threads, caller::call};
}
