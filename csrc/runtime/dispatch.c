/* Which kernel table: the best ISA that this CPU and operating system run, or the one that FASTNET_ISA names. */
#include "fastnet.h"

#include <string.h>

#if defined(__x86_64__) || defined(_M_X64)
#define FN_X86 1
#endif
#if defined(__aarch64__) || defined(_M_ARM64)
#define FN_ARM 1
#endif

const char *const fn_map_names[FN_MAPS] = {
#define ELEMENTWISE(name) [FN_MAP_##name] = #name,
#include "kernels.def"
};

extern const fn_kernels fn_portable_f32, fn_portable_f64;
#ifdef FN_X86
extern const fn_kernels fn_avx2_f32, fn_avx2_f64, fn_avx512_f32, fn_avx512_f64;
#endif
#ifdef FN_ARM
extern const fn_kernels fn_neon_f32, fn_neon_f64;
#endif

static int always(void) { return 1; }
#ifdef FN_X86
static int has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
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
#ifdef FN_X86
    {"avx512", has_avx512, {&fn_avx512_f32, &fn_avx512_f64}},
    {"avx2", has_avx2, {&fn_avx2_f32, &fn_avx2_f64}},
#endif
#ifdef FN_ARM
    {"neon", always, {&fn_neon_f32, &fn_neon_f64}},
#endif
    {"portable", always, {&fn_portable_f32, &fn_portable_f64}},
};
static const int isa_count = sizeof isas / sizeof isas[0];
static int chosen = -1;

static int find(const char *name) {
    for (int i = 0; i < isa_count; i++)
        if (!strcmp(isas[i].name, name) && isas[i].supported()) return i;
    return -1;
}

int fn_isa_supported(const char *name) { return find(name) >= 0; }

int fn_set_isa(const char *name) {
#ifdef FN_X86
    __builtin_cpu_init();
#endif
    int i = 0;
    if (name) i = find(name);
    else
        while (!isas[i].supported()) i++;
    if (i < 0) return -1;
    __atomic_store_n(&chosen, i, __ATOMIC_RELAXED);
    return 0;
}

const char *fn_isa(void) { return isas[chosen].name; }

const fn_kernels *fn_table(int dtype) {
    fn_pin_threads();
    return isas[__atomic_load_n(&chosen, __ATOMIC_RELAXED)].tables[dtype];
}

const char *fn_compiler(void) {
#ifdef __clang__
    return "clang " __clang_version__;
#else
    return "gcc " __VERSION__;
#endif
}

static fn_algorithm conv_algorithm = FN_AUTO;

fn_algorithm fn_conv_algorithm(void) { return __atomic_load_n(&conv_algorithm, __ATOMIC_RELAXED); }
void fn_set_conv_algorithm(fn_algorithm algorithm) { __atomic_store_n(&conv_algorithm, algorithm, __ATOMIC_RELAXED); }

static const char *notes[8];

void fn_note(const char *form) {
    for (int i = 0; i < 8; i++) {
        const char *known = __atomic_load_n(&notes[i], __ATOMIC_RELAXED);
        if (!known) __atomic_store_n(&notes[i], form, __ATOMIC_RELAXED);
        if (!known || known == form) return;
    }
}

int fn_notes(const char **forms, int most) {
    int count = 0;
    for (int i = 0; i < 8; i++) {
        const char *form = __atomic_exchange_n(&notes[i], NULL, __ATOMIC_RELAXED);
        if (form && count < most) forms[count++] = form;
    }
    return count;
}
