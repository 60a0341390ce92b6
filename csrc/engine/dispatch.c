/* Chooses the kernel table of one instruction set: a given one, or the best that the CPU and the operating system
 * support.
 */
#include "fastnet.h"
#include "tuning.h"

#include <stdatomic.h>
#include <string.h>

/* FN_NO_...: left out by .ci/sanitize, which builds one instruction set. */
#if defined(__x86_64__) || defined(_M_X64)
#ifndef FN_NO_AVX2
#define FN_AVX2 1
#endif
#ifndef FN_NO_AVX512
#define FN_AVX512 1
#endif
#endif
#if defined(FN_AVX2) || defined(FN_AVX512)
#define FN_X86 1
#endif
#if defined(__aarch64__) || defined(_M_ARM64)
#define FN_ARM 1
#endif

const char *const fn_map_names[FN_MAPS] = {
#define ELEMENTWISE(name) [FN_MAP_##name] = #name,
#include "kernels.def"
};

const char *const fn_activation_names[FN_ACTIVATIONS] = {
    [FN_NO_ACTIVATION] = "none",
    [FN_ACTIVATION_prelu] = "prelu",
#define ELEMENTWISE(name) [FN_ACTIVATION_##name] = #name,
#include "kernels.def"
};

#ifndef FN_NO_PORTABLE
extern const fn_kernels fn_portable_f32, fn_portable_f64;
#endif
#ifdef FN_AVX2
extern const fn_kernels fn_avx2_f32, fn_avx2_f64;
#endif
#ifdef FN_AVX512
extern const fn_kernels fn_avx512_f32, fn_avx512_f64;
#endif
#ifdef FN_ARM
extern const fn_kernels fn_neon_f32, fn_neon_f64;
#endif

#if defined(FN_ARM) || !defined(FN_NO_PORTABLE)
static int always(void) { return 1; }
#endif
#ifdef FN_X86
static int has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#endif
#ifdef FN_AVX512
static int has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
}
#endif

static const struct {
    const char *name;
    int (*supported)(void);
    const fn_kernels *tables[2];
} isas[] = {
/* best first */
#ifdef FN_AVX512
    {"avx512", has_avx512, {&fn_avx512_f32, &fn_avx512_f64}},
#endif
#ifdef FN_AVX2
    {"avx2", has_avx2, {&fn_avx2_f32, &fn_avx2_f64}},
#endif
#ifdef FN_ARM
    {"neon", always, {&fn_neon_f32, &fn_neon_f64}},
#endif
#ifndef FN_NO_PORTABLE
    {"portable", always, {&fn_portable_f32, &fn_portable_f64}},
#endif
};
enum { ISAS = sizeof isas / sizeof isas[0] };
static _Atomic int chosen = ISAS - 1; /* the last, until fn_set_isa is called */

static int find(const char *name) {
    for (int i = 0; i < ISAS; i++)
        if (!strcmp(isas[i].name, name) && isas[i].supported()) return i;
    return -1;
}

const char *fn_isa_name(int i) {
    for (int k = 0; k < ISAS; k++)
        if (isas[k].supported() && i-- == 0) return isas[k].name;
    return NULL;
}

int fn_set_isa(const char *name) {
#ifdef FN_X86
    __builtin_cpu_init();
#endif
    int i = 0;
    if (name) i = find(name);
    else
        while (!isas[i].supported()) i++;
    if (i < 0) return -1;
    atomic_store_explicit(&chosen, i, memory_order_relaxed);
    return 0;
}

const char *fn_isa(void) { return isas[atomic_load_explicit(&chosen, memory_order_relaxed)].name; }

const fn_kernels *fn_table(int dtype) {
    return isas[atomic_load_explicit(&chosen, memory_order_relaxed)].tables[dtype];
}

int fn_order_version(void) { return FN_ORDER_VERSION; }

const char *fn_compiler(void) {
#ifdef __clang__
    return "clang " __clang_version__;
#else
    return "gcc " __VERSION__;
#endif
}
