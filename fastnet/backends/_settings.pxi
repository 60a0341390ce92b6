"""Settings of the whole process, what this build and machine have, and memory statistics."""

cdef extern from "runtime/speed.h" nogil:
    void fn_speed_from_caches(int64_t first, int64_t second)
    void fn_speed_reset()
    int fn_speed_set(const char *name, int64_t value)
    const char *fn_speed_get(int which, int64_t *value)

cdef extern from "fastnet.h" nogil:
    ctypedef enum fn_algorithm:
        pass
    ctypedef struct fn_memory:
        int64_t live, cached, peak, scratch_live, scratch_peak
    const char *fn_isa()
    int fn_set_isa(const char *name)
    const char *fn_isa_name(int i)
    const char *fn_compiler()
    int fn_order_version()
    int fn_threads()
    void fn_set_threads(int count)
    void fn_run_alone()
    const char *fn_threading()
    void fn_empty_cache()
    void fn_memory_stats(fn_memory *stats)
    void fn_reset_peak()
    void fn_set_poison(int on)
    int fn_set_guard(int on)
    fn_algorithm fn_conv_algorithm()
    void fn_set_conv_algorithm(fn_algorithm algorithm)
    int fn_notes(const char **forms, int most)


def threads():
    return fn_threads()

def set_threads(int count):
    fn_set_threads(count)

def run_alone():
    fn_run_alone()

def threading():
    """The threading library of the kernels, as text."""
    return fn_threading().decode()

def isa():
    return fn_isa().decode()

def set_isa(name):
    """Select the kernels of an instruction set; None: the best. False if this CPU or build lacks it."""
    if name is None:
        return fn_set_isa(NULL) == 0
    cdef bytes encoded = name.encode()
    return fn_set_isa(encoded) == 0

def isas():
    """The instruction sets that this CPU can run, best first."""
    cdef int i = 0
    names = []
    while fn_isa_name(i) != NULL:
        names.append(fn_isa_name(i).decode())
        i += 1
    return tuple(names)

def conv_algorithm():
    """0 auto, 1 direct, 2 winograd."""
    return <int>fn_conv_algorithm()

def set_conv_algorithm(int algorithm):
    fn_set_conv_algorithm(<fn_algorithm>algorithm)

def conv_forms():
    """The algorithms that convolutions used since the last call ("gemm", "winograd", ...)."""
    cdef const char *forms[8]
    cdef int i, count = fn_notes(forms, 8)
    return sorted({forms[i].decode() for i in range(count)})

def compiler():
    return fn_compiler().decode()

def order_version():
    """The version of the order of summation and choice of algorithms; results of versions differ by rounding."""
    return fn_order_version()

def speed():
    """The SPEED values of csrc/tuning.h by name: sizes of blocks and tasks, on which no bit depends."""
    cdef int64_t value
    cdef const char *name
    found = {}
    while (name := fn_speed_get(len(found), &value)) != NULL:
        found[name.decode()] = value
    return found

def set_speed(**values):
    """Set SPEED values, each at least 1, while no kernel runs. For tests and measurements."""
    cdef bytes encoded
    for name, value in values.items():
        encoded = name.encode()
        if fn_speed_set(encoded, value):
            raise ValueError(f"set_speed: {name!r} is unknown, or {value} is below 1")

def reset_speed(int64_t first_cache=-1, int64_t second_cache=-1):
    """Set the SPEED values for this machine, or for caches of the given sizes (0: unknown)."""
    if first_cache < 0:
        fn_speed_reset()
    else:
        fn_speed_from_caches(first_cache, second_cache)

fn_speed_reset()

def lanes(int dtype):
    return fn_table(dtype).lanes

def fma_peak(int dtype=0, double seconds=0.2):
    """GFLOP/s of multiply-adds in registers on all threads: the best of short bursts; dtype 0 float32, 1 float64."""
    cdef const fn_kernels *k = fn_table(dtype)
    cdef int64_t rounds = 1000000
    cdef double operations, best = 0
    end = perf_counter() + seconds
    while True:
        start = perf_counter()
        with nogil:
            operations = k.fma_burst(rounds)
        now = perf_counter()
        best = max(best, operations / (now - start) / 1e9)
        if now > end:
            return best

def set_poison(bint on):
    """Fill every block with NaN when it is allocated, which exposes forgotten writes."""
    fn_set_poison(on)

def set_guard(bint on):
    """Put every block, filled with NaN, between inaccessible pages: accesses outside crash. For tests; slow.

    False if the system does not support this."""
    return fn_set_guard(on) == 0

def empty_cache():
    with nogil:
        fn_empty_cache()

def reset_peak():
    fn_reset_peak()

def memory_stats():
    cdef fn_memory m
    fn_memory_stats(&m)
    return {"live": m.live, "cached": m.cached, "peak": m.peak, "scratch_peak": m.scratch_peak}
