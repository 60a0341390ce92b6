# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=True
"""Python bindings of csrc/: extract pointers from arrays and release the GIL, nothing else.

Callers (fastnet/backends/native/) have checked shapes, dtypes and memory order.  The functions that run a kernel each
are made by csrc/bindings.py from csrc/kernels.def, which says what their parameters are.
"""

from time import perf_counter

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE
from cpython.buffer cimport PyBuffer_FillInfo, PyBuffer_IsContiguous, PyBuffer_Release, PyObject_GetBuffer
from cpython.ref cimport Py_XDECREF, Py_INCREF, PyObject
from libc.stdint cimport int64_t, uint8_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset, strcmp, strlen


cdef extern from "runtime/speed.h" nogil:
    void fn_speed_from_caches(int64_t first, int64_t second)
    void fn_speed_reset()
    int fn_speed_set(const char *name, int64_t value)
    const char *fn_speed_get(int which, int64_t *value)

cdef extern from "fastnet.h" nogil:
    ctypedef enum fn_status:
        FN_OK
        FN_NO_MEMORY
    ctypedef enum fn_kind:
        FN_ARRAY
        FN_SCRATCH
    ctypedef enum fn_algorithm:
        pass
    ctypedef enum fn_ties:
        pass
    ctypedef enum fn_map:
        pass
    ctypedef struct fn_conv:
        pass
    ctypedef struct fn_pool:
        pass
    ctypedef struct fn_fixed_conv:
        pass
    ctypedef struct fn_norm:
        int64_t images, pixels, C
        const double *mean
        const double *inverse_std
        const void *gamma
        const void *beta
        int relu
    ctypedef struct fn_epilogue:
        const void *scale
        const void *shift
        const void *add
        int activation
        double a
    ctypedef struct fn_memory:
        int64_t live, cached, peak, scratch_live, scratch_peak
    ctypedef struct fn_step:
        int64_t kind, x, add, y, first, wide, pixels, channels, activation, pooled, map
        double a, b
        fn_conv conv
        fn_pool pool
        const void *arrays[4]
    ctypedef struct fn_plan:
        pass
    ctypedef union fn_word:
        int64_t i
        uint64_t u
        double d
        void *p
    enum:
        FN_MAPS
        FN_STEPS
        FN_ACTIVATIONS
        FN_STEP_conv
        FN_INPUT
        FN_OUTPUT
        FN_NOWHERE
    const char *fn_map_names[FN_MAPS]
    const char *fn_step_names[FN_STEPS]
    const char *fn_activation_names[FN_ACTIVATIONS]

include "_kernels.pxi"
include "_recording.pxi"

cdef extern from "fastnet.h" nogil:
    const fn_kernels *fn_table(int dtype)
    const char *fn_isa()
    int fn_set_isa(const char *name)
    const char *fn_isa_name(int i)
    const char *fn_compiler()
    int fn_order_version()
    int fn_threads()
    void fn_set_threads(int count)
    const char *fn_threading()
    void *fn_alloc(size_t bytes, fn_kind kind)
    void fn_free(void *block)
    void fn_empty_cache()
    void fn_memory_stats(fn_memory *stats)
    void fn_reset_peak()
    void fn_set_poison(int on)
    int fn_set_guard(int on)
    fn_algorithm fn_conv_algorithm()
    void fn_set_conv_algorithm(fn_algorithm algorithm)
    int fn_notes(const char **forms, int most)
    fn_plan *fn_plan_new(int dtype, int64_t batch, int64_t arena, int64_t x_image, int64_t y_image, int64_t count)
    fn_status fn_plan_set(fn_plan *plan, int64_t i, const fn_step *step)
    void fn_plan_ready(fn_plan *plan)
    fn_status fn_plan_run(const fn_plan *plan, int64_t N, const void *x, void *y)
    void fn_plan_free(fn_plan *plan)


# ---------------------------------------------------------------- memory

cdef class Block:
    """Memory from the caching allocator, for numpy.ndarray(buffer=...); returned to it with the array.

    address: of memory that was allocated already, which then belongs to this object.
    """

    cdef void *memory
    cdef Py_ssize_t size

    def __cinit__(self, Py_ssize_t size, uintptr_t address=0):
        self.memory = <void *>address if address else fn_alloc(<size_t>size, FN_ARRAY)
        if self.memory == NULL:
            raise MemoryError(f"fastnet could not allocate {size} bytes")
        self.size = size
        if recorder != NULL and not address:
            (<object>recorder).born(<uintptr_t>self.memory, size)

    def __dealloc__(self):
        if recorder != NULL and self.memory != NULL:
            (<object>recorder).died(<uintptr_t>self.memory)
        fn_free(self.memory)

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.memory, self.size, False, flags)


cdef void *address(object array) except? NULL:
    """The first element's address; None gives NULL.  The caller's reference keeps the memory alive."""
    cdef Py_buffer view
    if array is None:
        return NULL
    PyObject_GetBuffer(array, &view, PyBUF_STRIDES)
    cdef void *start = view.buf
    PyBuffer_Release(&view)
    return start


cdef void *writable(object array) except? NULL:
    cdef Py_buffer view
    if array is None:
        return NULL
    PyObject_GetBuffer(array, &view, PyBUF_STRIDES | PyBUF_WRITABLE)
    cdef void *start = view.buf
    PyBuffer_Release(&view)
    return start


cdef inline const fn_kernels *kernels(object array) except NULL:
    """The table for the array's dtype, float32 or float64."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_STRIDES)
    cdef Py_ssize_t itemsize = view.itemsize
    PyBuffer_Release(&view)
    return fn_table(0 if itemsize == 4 else 1)


cdef inline int check(fn_status status) except -1:
    if status == FN_NO_MEMORY:
        raise MemoryError("fastnet kernel: not enough memory for scratch buffers")
    return 0


cdef const char *packed(bytes geometry, Py_ssize_t size) except NULL:
    """The bytes as a struct."""
    if geometry is None or len(geometry) != size:
        raise ValueError(f"a packed geometry of {size} bytes is expected, got {geometry!r}")
    return geometry


cdef inline const fn_conv *conv_of(bytes geometry) except NULL:
    return <const fn_conv *>packed(geometry, sizeof(fn_conv))


cdef inline const fn_pool *pool_of(bytes geometry) except NULL:
    return <const fn_pool *>packed(geometry, sizeof(fn_pool))


cdef int store_norm(norm, fn_word *w) except -1:
    """(images, pixels, C, mean, inverse_std, gamma, beta, relu)"""
    images, pixels, C, mean, inverse_std, gamma, beta, relu = norm
    w[0].i, w[1].i, w[2].i, w[7].i = images, pixels, C, relu
    w[3].p, w[4].p, w[5].p, w[6].p = address(mean), address(inverse_std), address(gamma), address(beta)
    return 0


cdef inline const fn_norm *norm_of(const fn_word *w, fn_norm *norm) noexcept nogil:
    norm.images, norm.pixels, norm.C, norm.relu = w[0].i, w[1].i, w[2].i, <int>w[7].i
    norm.mean, norm.inverse_std, norm.gamma, norm.beta = <double *>w[3].p, <double *>w[4].p, w[5].p, w[6].p
    return norm


cdef int store_epilogue(scale, shift, add, int activation, double a, fn_word *w) except -1:
    w[0].p, w[1].p, w[2].p, w[3].i, w[4].d = address(scale), address(shift), address(add), activation, a
    return 0


cdef inline const fn_epilogue *epilogue_of(const fn_word *w, fn_epilogue *end) noexcept nogil:
    end.scale, end.shift, end.add, end.activation, end.a = w[0].p, w[1].p, w[2].p, <int>w[3].i, w[4].d
    return end


cdef inline int map_of(int kernel) except -1:
    if not 0 <= kernel < FN_MAPS:
        raise IndexError(f"there are {FN_MAPS} elementwise kernels, got number {kernel}")
    return kernel


cdef bint in_order(Py_buffer *view, const int *order):
    """Whether elements are contiguous, with axis order[0] fastest."""
    cdef Py_ssize_t step = view.itemsize
    cdef int i
    for i in range(view.ndim):
        if view.shape[order[i]] > 1 and view.strides[order[i]] != step:
            return False
        step *= view.shape[order[i]]
    return True

def layout(array):
    """The memory order of an array of at most 8 axes: bit 0: the kernels' order for activations (4 axes channels-last,
    else C order); bit 1: C order; 0 if strided, unaligned or byte-swapped.
    """
    cdef Py_buffer view
    cdef int i
    cdef int c_order[8]
    cdef int channels_last[4]
    PyObject_GetBuffer(array, &view, PyBUF_STRIDES | PyBUF_FORMAT)
    try:
        if view.ndim > 8 or <uintptr_t>view.buf % view.itemsize or (view.format != NULL and strlen(view.format) != 1):
            return 0
        for i in range(view.ndim):
            c_order[i] = view.ndim - 1 - i
        if view.ndim != 4:
            return 3 if in_order(&view, c_order) else 0
        channels_last[:] = [1, 3, 2, 0]
        return in_order(&view, channels_last) | in_order(&view, c_order) << 1
    finally:
        PyBuffer_Release(&view)


# ---------------------------------------------------------------- settings

def threads():
    return fn_threads()

def set_threads(int count):
    fn_set_threads(count)

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


# ---------------------------------------------------------------- names

ELEMENTWISE = tuple(fn_map_names[i].decode() for i in range(FN_MAPS))  # a kernel's number is its index here

# The activations of the convolution epilogue; 0: none.
ACTIVATIONS = {fn_activation_names[i].decode(): i for i in range(FN_ACTIVATIONS)}


# ---------------------------------------------------------------- whole networks

STEP_KINDS = {fn_step_names[i].decode(): i for i in range(FN_STEPS)}
INPUT, OUTPUT, NOWHERE = FN_INPUT, FN_OUTPUT, FN_NOWHERE  # special places, besides offsets into the arena

cdef class Plan:
    """The steps of fastnet/backends/native/plan.py, ready to run, also from several Python threads at a time.

    x_image, y_image: bytes of an image.  steps: a dictionary for each step, with the fields of fn_step by name; fields
    that are left out are 0, `add` NOWHERE.  `kind` is a name of STEP_KINDS, `map` one of ELEMENTWISE, `conv` and `pool`
    are packed geometries, and `arrays` four arrays or None.
    """

    cdef fn_plan *plan
    cdef list kept

    def __cinit__(self, int dtype, int64_t batch, int64_t arena, int64_t x_image, int64_t y_image, list steps):
        self.plan = fn_plan_new(dtype, batch, arena, x_image, y_image, len(steps))
        if self.plan == NULL:
            raise MemoryError("fastnet: not enough memory for a plan")
        self.kept = []
        for i, fields in enumerate(steps):
            self.set_step(i, dict(fields))
        fn_plan_ready(self.plan)

    cdef int set_step(self, int64_t i, dict fields) except -1:
        cdef fn_step step
        cdef fn_status status
        memset(&step, 0, sizeof(fn_step))
        step.kind = STEP_KINDS[fields.pop("kind")]
        step.x, step.y, step.add = fields.pop("x"), fields.pop("y"), fields.pop("add", FN_NOWHERE)
        step.first, step.wide = fields.pop("first", 0), fields.pop("wide", 0)
        step.pixels, step.channels = fields.pop("pixels", 0), fields.pop("channels", 0)
        step.activation, step.pooled = fields.pop("activation", 0), fields.pop("pooled", False)
        step.a, step.b = fields.pop("a", 0), fields.pop("b", 0)
        if "map" in fields:
            step.map = ELEMENTWISE.index(fields.pop("map"))
        if "conv" in fields:
            step.conv = conv_of(fields.pop("conv"))[0]
        if "pool" in fields:
            step.pool = pool_of(fields.pop("pool"))[0]
        arrays = fields.pop("arrays", (None,) * 4)
        for j in range(4):
            step.arrays[j] = address(arrays[j])
        if fields:
            raise TypeError(f"a step has no fields {', '.join(fields)}")
        if step.kind != FN_STEP_conv:  # a convolution's arrays are read here
            self.kept.append(arrays)
        with nogil:
            status = fn_plan_set(self.plan, i, &step)
        return check(status)

    def __dealloc__(self):
        fn_plan_free(self.plan)

    def run(self, int64_t N, x, y):
        """x: N images in the kernels' memory order; y: their outputs."""
        cdef const void *x_ = address(x)
        cdef void *y_ = writable(y)
        cdef fn_status status
        with nogil:
            status = fn_plan_run(self.plan, N, x_, y_)
        check(status)
