# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=True
"""The door to the C kernels: pointers out of arrays, the GIL released, nothing else.

Callers (fastnet/backends/native.py) have checked shapes, dtypes and memory order.
"""

from time import perf_counter

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint8_t, uint64_t, uintptr_t
from libc.string cimport strlen


cdef extern from "fastnet.h" nogil:
    ctypedef enum fn_status:
        FN_OK
        FN_NO_MEMORY
    ctypedef enum fn_kind:
        FN_ARRAY
        FN_SCRATCH
    ctypedef struct fn_conv:
        pass
    ctypedef struct fn_pool:
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
        int relu
    ctypedef struct fn_memory:
        int64_t live, cached, peak, scratch_live, scratch_peak
    int fn_threads()
    void fn_pin_threads()
    void fn_set_threads(int count)
    const char *fn_threading()
    void *fn_alloc(size_t size, fn_kind kind)
    void fn_free(void *block)
    void fn_empty_cache()
    void fn_memory_stats(fn_memory *stats)
    void fn_reset_peak()
    void fn_set_poison(int on)
    int fn_set_guard(int on)
    const char *fn_isa()
    int fn_set_isa(const char *name)
    int fn_isa_supported(const char *name)
    const char *fn_compiler()
    ctypedef enum fn_algorithm:
        pass
    ctypedef enum fn_ties:
        pass
    fn_algorithm fn_conv_algorithm()
    void fn_set_conv_algorithm(fn_algorithm algorithm)
    int fn_notes(const char **forms, int most)
    ctypedef struct fn_kernels:
        int lanes
        fn_status (*gemm)(int64_t, int64_t, int64_t, const void *, int64_t, int64_t, const void *, int64_t, int64_t, const void *, void *) noexcept nogil
        fn_status (*conv_forward)(const fn_conv *, const void *, const void *, const fn_epilogue *, void *) noexcept nogil
        fn_status (*conv_grad_input)(const fn_conv *, const void *, const void *, const void *, void *) noexcept nogil
        fn_status (*conv_grad_weight)(const fn_conv *, const void *, const void *, void *) noexcept nogil
        fn_status (*column_sum)(int64_t, int64_t, const void *, void *) noexcept nogil
        fn_status (*im2col)(const fn_conv *, const void *, void *) noexcept nogil
        fn_status (*col2im)(const fn_conv *, const void *, void *) noexcept nogil
        fn_status (*max_pool)(const fn_pool *, const void *, int, void *, void *) noexcept nogil
        fn_status (*max_pool_backward)(const fn_pool *, const void *, const void *, void *) noexcept nogil
        fn_status (*max_pool_planes)(const fn_pool *, const void *, void *) noexcept nogil
        fn_status (*max_pool_planes_backward)(const fn_pool *, fn_ties, const void *, const void *, void *) noexcept nogil
        fn_status (*avg_pool)(const fn_pool *, const void *, void *) noexcept nogil
        fn_status (*avg_pool_backward)(const fn_pool *, const void *, void *) noexcept nogil
        fn_status (*norm_moments)(int64_t, int64_t, int64_t, const void *, double *, double *) noexcept nogil
        fn_status (*norm_apply)(const fn_norm *, const void *, const void *, void *) noexcept nogil
        fn_status (*norm_sums)(const fn_norm *, const void *, const void *, const void *, void *, double *, double *) noexcept nogil
        fn_status (*norm_backward)(const fn_norm *, const void *, const void *, const double *, const double *, void *) noexcept nogil
        fn_status (*conv_norm_forward)(const fn_conv *, const void *, const void *, const void *, void *, double *, double *) noexcept nogil
        fn_status (*conv_norm_backward)(const fn_conv *, const fn_norm *, const void *, const void *, const void *, const void *, const double *, const double *, const void *, void *, void *) noexcept nogil
        fn_status (*conv_pool_forward)(const fn_conv *, const fn_pool *, const void *, const void *, const void *, int, void *, void *) noexcept nogil
        fn_status (*conv_pool_backward)(const fn_conv *, const fn_pool *, const void *, const void *, const void *, const void *, const void *, void *, void *, void *) noexcept nogil
        void (*relu)(int64_t, const void *, void *) noexcept nogil
        void (*relu_backward)(int64_t, const void *, const void *, void *) noexcept nogil
        void (*leaky_relu)(int64_t, double, const void *, void *) noexcept nogil
        void (*leaky_relu_backward)(int64_t, double, const void *, const void *, void *) noexcept nogil
        void (*sigmoid)(int64_t, const void *, void *) noexcept nogil
        void (*sigmoid_backward)(int64_t, const void *, const void *, void *) noexcept nogil
        void (*tanh)(int64_t, const void *, void *) noexcept nogil
        void (*tanh_backward)(int64_t, const void *, const void *, void *) noexcept nogil
        void (*add)(int64_t, const void *, const void *, void *) noexcept nogil
        void (*uniform)(int64_t, uint64_t, uint64_t, void *) noexcept nogil
        void (*dropout)(int64_t, double, uint64_t, uint64_t, const void *, void *, uint8_t *) noexcept nogil
        void (*dropout_backward)(int64_t, double, const void *, const uint8_t *, void *) noexcept nogil
        fn_status (*softmax_loss)(int64_t, int64_t, const void *, const int64_t *, double *, void *) noexcept nogil
        fn_status (*svm_loss)(int64_t, int64_t, const void *, const int64_t *, double, double *, void *) noexcept nogil
        void (*sgd_step)(int64_t, void *, const void *, void *, double, double, double, int, double) noexcept nogil
        void (*adagrad_step)(int64_t, void *, const void *, void *, double, double, double) noexcept nogil
        void (*rmsprop_step)(int64_t, void *, const void *, void *, double, double, double, double) noexcept nogil
        void (*adam_step)(int64_t, void *, const void *, void *, void *, int64_t, double, double, double, double, double, int) noexcept nogil
        void (*to_channels_last)(int64_t, int64_t, int64_t, const void *, void *) noexcept nogil
        void (*to_channels_first)(int64_t, int64_t, int64_t, const void *, void *) noexcept nogil
        void (*copy_rows)(int64_t, int64_t, const void *, int64_t, void *, int64_t) noexcept nogil
        void (*subsample)(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, const void *, void *) noexcept nogil
        double (*fma_burst)(int64_t) noexcept nogil
    const fn_kernels *fn_table(int dtype)
    ctypedef enum fn_step_kind:
        FN_CONV
    ctypedef struct fn_plan:
        pass
    fn_plan *fn_plan_new(int dtype, int64_t batch, int64_t arena, int64_t x_image, int64_t y_image, int64_t count)
    fn_status fn_plan_set(fn_plan *plan, int64_t i, const void *packed, const void *const arrays[4])
    void fn_plan_ready(fn_plan *plan)
    fn_status fn_plan_run(const fn_plan *plan, int64_t N, const void *x, void *y)
    void fn_plan_free(fn_plan *plan)


# ---------------------------------------------------------------- memory

cdef class Block:
    """Memory from the caching allocator, for numpy.ndarray(buffer=...); goes back to it when the array dies."""

    cdef void *memory
    cdef Py_ssize_t size

    def __cinit__(self, Py_ssize_t size):
        self.memory = fn_alloc(<size_t>size, FN_ARRAY)
        if self.memory == NULL:
            raise MemoryError(f"fastnet could not allocate {size} bytes")
        self.size = size

    def __dealloc__(self):
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


cdef bint in_order(Py_buffer *view, const int *order):
    """Whether elements lie side by side, axis order[0] fastest."""
    cdef Py_ssize_t step = view.itemsize
    cdef int i
    for i in range(view.ndim):
        if view.shape[order[i]] > 1 and view.strides[order[i]] != step:
            return False
        step *= view.shape[order[i]]
    return True

def layout(array):
    """How an array of at most 8 axes lies in memory: bit 0 as kernels want activations (4 axes channels-last, else
    C order), bit 1 in C order; 0 when strided, unaligned or byte-swapped."""
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
    fn_pin_threads()
    return fn_threads()

def set_threads(int count):
    fn_set_threads(count)

def threading():
    """Whose threads kernels run on, in words."""
    return fn_threading().decode()

def isa():
    return fn_isa().decode()

def set_isa(name):
    """Choose the kernels of an instruction set; None the best.  False when this CPU or build does not have it."""
    if name is None:
        return fn_set_isa(NULL) == 0
    cdef bytes encoded = name.encode()
    return fn_set_isa(encoded) == 0

def isa_supported(name):
    cdef bytes encoded = name.encode()
    return bool(fn_isa_supported(encoded))

def conv_algorithm():
    """0 auto, 1 direct, 2 winograd."""
    return <int>fn_conv_algorithm()

def set_conv_algorithm(int algorithm):
    fn_set_conv_algorithm(<fn_algorithm>algorithm)

def conv_forms():
    """By which forms convolutions have run since the last call ("gemm", "winograd", ...)."""
    cdef const char *forms[8]
    cdef int i, count = fn_notes(forms, 8)
    return sorted({forms[i].decode() for i in range(count)})

def compiler():
    return fn_compiler().decode()

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
    """Fill every block with NaN as it is handed out, so that a forgotten write shows."""
    fn_set_poison(on)

def set_guard(bint on):
    """Put every block, full of NaN, between pages without access: what reads or writes outside dies.  For tests; slow.

    False where the system has no such pages."""
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


# ---------------------------------------------------------------- products and convolutions

def gemm(int64_t M, int64_t N, int64_t K, a, int64_t a_row, int64_t a_col, b, int64_t b_row, int64_t b_col, bias, c):
    cdef const fn_kernels *k = kernels(c)
    cdef const void *pa = address(a)
    cdef const void *pb = address(b)
    cdef const void *pbias = address(bias)
    cdef void *pc = writable(c)
    cdef fn_status status
    with nogil:
        status = k.gemm(M, N, K, pa, a_row, a_col, pb, b_row, b_col, pbias, pc)
    check(status)

def conv_forward(bytes geometry, x, w, scale, shift, add, bint relu, y):
    cdef const fn_kernels *k = kernels(y)
    cdef const char *g = geometry
    cdef const void *px = address(x)
    cdef const void *pw = address(w)
    cdef fn_epilogue end = [address(scale), address(shift), address(add), relu]
    cdef void *py = writable(y)
    cdef fn_status status
    with nogil:
        status = k.conv_forward(<const fn_conv *>g, px, pw, &end, py)
    check(status)

def conv_grad_input(bytes geometry, dy, w, add, dx):
    cdef const fn_kernels *k = kernels(dx)
    cdef const char *g = geometry
    cdef const void *pdy = address(dy)
    cdef const void *pw = address(w)
    cdef const void *padd = address(add)
    cdef void *pdx = writable(dx)
    cdef fn_status status
    with nogil:
        status = k.conv_grad_input(<const fn_conv *>g, pdy, pw, padd, pdx)
    check(status)

def conv_grad_weight(bytes geometry, x, dy, dw):
    cdef const fn_kernels *k = kernels(dw)
    cdef const char *g = geometry
    cdef const void *px = address(x)
    cdef const void *pdy = address(dy)
    cdef void *pdw = writable(dw)
    cdef fn_status status
    with nogil:
        status = k.conv_grad_weight(<const fn_conv *>g, px, pdy, pdw)
    check(status)

def column_sum(int64_t rows, int64_t columns, x, out):
    cdef const fn_kernels *k = kernels(out)
    cdef const void *px = address(x)
    cdef void *pout = writable(out)
    cdef fn_status status
    with nogil:
        status = k.column_sum(rows, columns, px, pout)
    check(status)

def im2col(bytes geometry, x, columns):
    cdef const fn_kernels *k = kernels(columns)
    cdef const char *g = geometry
    cdef const void *px = address(x)
    cdef void *pc = writable(columns)
    cdef fn_status status
    with nogil:
        status = k.im2col(<const fn_conv *>g, px, pc)
    check(status)

def col2im(bytes geometry, columns, x):
    cdef const fn_kernels *k = kernels(x)
    cdef const char *g = geometry
    cdef const void *pc = address(columns)
    cdef void *px = writable(x)
    cdef fn_status status
    with nogil:
        status = k.col2im(<const fn_conv *>g, pc, px)
    check(status)


# ---------------------------------------------------------------- pooling

def max_pool(bytes geometry, x, bint relu, y, index):
    cdef const fn_kernels *k = kernels(y)
    cdef const char *g = geometry
    cdef const void *px = address(x)
    cdef void *py = writable(y)
    cdef void *pi = writable(index)
    cdef fn_status status
    with nogil:
        status = k.max_pool(<const fn_pool *>g, px, relu, py, pi)
    check(status)

def max_pool_backward(bytes geometry, dy, index, dx):
    cdef const fn_kernels *k = kernels(dx)
    cdef const char *g = geometry
    cdef const void *pdy = address(dy)
    cdef const void *pi = address(index)
    cdef void *pdx = writable(dx)
    cdef fn_status status
    with nogil:
        status = k.max_pool_backward(<const fn_pool *>g, pdy, pi, pdx)
    check(status)

def max_pool_planes(bytes geometry, x, y):
    cdef const fn_kernels *k = kernels(y)
    cdef const char *g = geometry
    cdef const void *px = address(x)
    cdef void *py = writable(y)
    cdef fn_status status
    with nogil:
        status = k.max_pool_planes(<const fn_pool *>g, px, py)
    check(status)

def max_pool_planes_backward(bytes geometry, int ties, x, dy, dx):
    """ties: 0 split, 1 first, 2 all."""
    cdef const fn_kernels *k = kernels(dx)
    cdef const char *g = geometry
    cdef const void *px = address(x)
    cdef const void *pdy = address(dy)
    cdef void *pdx = writable(dx)
    cdef fn_status status
    with nogil:
        status = k.max_pool_planes_backward(<const fn_pool *>g, <fn_ties>ties, px, pdy, pdx)
    check(status)

def avg_pool(bytes geometry, x, y):
    cdef const fn_kernels *k = kernels(y)
    cdef const char *g = geometry
    cdef const void *px = address(x)
    cdef void *py = writable(y)
    cdef fn_status status
    with nogil:
        status = k.avg_pool(<const fn_pool *>g, px, py)
    check(status)

def avg_pool_backward(bytes geometry, dy, dx):
    cdef const fn_kernels *k = kernels(dx)
    cdef const char *g = geometry
    cdef const void *pdy = address(dy)
    cdef void *pdx = writable(dx)
    cdef fn_status status
    with nogil:
        status = k.avg_pool_backward(<const fn_pool *>g, pdy, pdx)
    check(status)


# ---------------------------------------------------------------- batch norm

cdef fn_norm norm_of(tuple norm) except *:
    """(images, pixels, C, mean, inverse_std, gamma, beta, relu)"""
    cdef fn_norm n
    n.images, n.pixels, n.C = norm[:3]
    n.mean, n.inverse_std = <const double *>address(norm[3]), <const double *>address(norm[4])
    n.gamma, n.beta, n.relu = address(norm[5]), address(norm[6]), norm[7]
    return n

def norm_moments(int64_t images, int64_t pixels, int64_t C, x, mean, var):
    cdef const fn_kernels *k = kernels(x)
    cdef const void *px = address(x)
    cdef double *pm = <double *>writable(mean)
    cdef double *pv = <double *>writable(var)
    cdef fn_status status
    with nogil:
        status = k.norm_moments(images, pixels, C, px, pm, pv)
    check(status)

def norm_apply(tuple norm, x, add, y):
    cdef const fn_kernels *k = kernels(y)
    cdef fn_norm n = norm_of(norm)
    cdef const void *px = address(x)
    cdef const void *pa = address(add)
    cdef void *py = writable(y)
    cdef fn_status status
    with nogil:
        status = k.norm_apply(&n, px, pa, py)
    check(status)

def norm_sums(tuple norm, dy, x, y, gated, dgamma, dbeta):
    cdef const fn_kernels *k = kernels(x)
    cdef fn_norm n = norm_of(norm)
    cdef const void *pdy = address(dy)
    cdef const void *px = address(x)
    cdef const void *py = address(y)
    cdef void *pgated = writable(gated)
    cdef double *pdg = <double *>writable(dgamma)
    cdef double *pdb = <double *>writable(dbeta)
    cdef fn_status status
    with nogil:
        status = k.norm_sums(&n, pdy, px, py, pgated, pdg, pdb)
    check(status)

def norm_backward(tuple norm, dy, x, dgamma, dbeta, dx):
    cdef const fn_kernels *k = kernels(dx)
    cdef fn_norm n = norm_of(norm)
    cdef const void *pdy = address(dy)
    cdef const void *px = address(x)
    cdef const double *pdg = <const double *>address(dgamma)
    cdef const double *pdb = <const double *>address(dbeta)
    cdef void *pdx = writable(dx)
    cdef fn_status status
    with nogil:
        status = k.norm_backward(&n, pdy, px, pdg, pdb, pdx)
    check(status)

def conv_norm_forward(bytes geometry, x, w, bias, y, mean, var):
    cdef const fn_kernels *k = kernels(y)
    cdef const char *g = geometry
    cdef const void *px = address(x)
    cdef const void *pw = address(w)
    cdef const void *pb = address(bias)
    cdef void *py = writable(y)
    cdef double *pm = <double *>writable(mean)
    cdef double *pv = <double *>writable(var)
    cdef fn_status status
    with nogil:
        status = k.conv_norm_forward(<const fn_conv *>g, px, pw, pb, py, pm, pv)
    check(status)

def conv_norm_backward(bytes geometry, tuple norm, x, w, dy, y, dgamma, dbeta, add, dx, dw):
    cdef const fn_kernels *k = kernels(y)
    cdef const char *g = geometry
    cdef fn_norm n = norm_of(norm)
    cdef const void *px = address(x)
    cdef const void *pw = address(w)
    cdef const void *pdy = address(dy)
    cdef const void *py = address(y)
    cdef const double *pdg = <const double *>address(dgamma)
    cdef const double *pdb = <const double *>address(dbeta)
    cdef const void *padd = address(add)
    cdef void *pdx = writable(dx)
    cdef void *pdw = writable(dw)
    cdef fn_status status
    with nogil:
        status = k.conv_norm_backward(<const fn_conv *>g, &n, px, pw, pdy, py, pdg, pdb, padd, pdx, pdw)
    check(status)

def conv_pool_forward(bytes geometry, bytes pool, x, w, bias, bint relu, y, index):
    cdef const fn_kernels *k = kernels(y)
    cdef const char *g = geometry
    cdef const char *p = pool
    cdef const void *px = address(x)
    cdef const void *pw = address(w)
    cdef const void *pb = address(bias)
    cdef void *py = writable(y)
    cdef void *pi = writable(index)
    cdef fn_status status
    with nogil:
        status = k.conv_pool_forward(<const fn_conv *>g, <const fn_pool *>p, px, pw, pb, relu, py, pi)
    check(status)

def conv_pool_backward(bytes geometry, bytes pool, x, w, dy, index, add, dx, dw, db):
    cdef const fn_kernels *k = kernels(dy)
    cdef const char *g = geometry
    cdef const char *p = pool
    cdef const void *px = address(x)
    cdef const void *pw = address(w)
    cdef const void *pdy = address(dy)
    cdef const void *pi = address(index)
    cdef const void *padd = address(add)
    cdef void *pdx = writable(dx)
    cdef void *pdw = writable(dw)
    cdef void *pdb = writable(db)
    cdef fn_status status
    with nogil:
        status = k.conv_pool_backward(<const fn_conv *>g, <const fn_pool *>p, px, pw, pdy, pi, padd, pdx, pdw, pdb)
    check(status)


# ---------------------------------------------------------------- elementwise

def relu(int64_t n, x, y):
    cdef const fn_kernels *k = kernels(y)
    cdef const void *px = address(x)
    cdef void *py = writable(y)
    with nogil:
        k.relu(n, px, py)

def relu_backward(int64_t n, dy, y, dx):
    cdef const fn_kernels *k = kernels(dx)
    cdef const void *pdy = address(dy)
    cdef const void *py = address(y)
    cdef void *pdx = writable(dx)
    with nogil:
        k.relu_backward(n, pdy, py, pdx)

def leaky_relu(int64_t n, double slope, x, y):
    cdef const fn_kernels *k = kernels(y)
    cdef const void *px = address(x)
    cdef void *py = writable(y)
    with nogil:
        k.leaky_relu(n, slope, px, py)

def leaky_relu_backward(int64_t n, double slope, dy, x, dx):
    cdef const fn_kernels *k = kernels(dx)
    cdef const void *pdy = address(dy)
    cdef const void *px = address(x)
    cdef void *pdx = writable(dx)
    with nogil:
        k.leaky_relu_backward(n, slope, pdy, px, pdx)

def sigmoid(int64_t n, x, y):
    cdef const fn_kernels *k = kernels(y)
    cdef const void *px = address(x)
    cdef void *py = writable(y)
    with nogil:
        k.sigmoid(n, px, py)

def sigmoid_backward(int64_t n, dy, y, dx):
    cdef const fn_kernels *k = kernels(dx)
    cdef const void *pdy = address(dy)
    cdef const void *py = address(y)
    cdef void *pdx = writable(dx)
    with nogil:
        k.sigmoid_backward(n, pdy, py, pdx)

def tanh(int64_t n, x, y):
    cdef const fn_kernels *k = kernels(y)
    cdef const void *px = address(x)
    cdef void *py = writable(y)
    with nogil:
        k.tanh(n, px, py)

def tanh_backward(int64_t n, dy, y, dx):
    cdef const fn_kernels *k = kernels(dx)
    cdef const void *pdy = address(dy)
    cdef const void *py = address(y)
    cdef void *pdx = writable(dx)
    with nogil:
        k.tanh_backward(n, pdy, py, pdx)

def add(int64_t n, a, b, y):
    cdef const fn_kernels *k = kernels(y)
    cdef const void *pa = address(a)
    cdef const void *pb = address(b)
    cdef void *py = writable(y)
    with nogil:
        k.add(n, pa, pb, py)


# ---------------------------------------------------------------- random numbers

def uniform(int64_t n, uint64_t seed, uint64_t offset, out):
    cdef const fn_kernels *k = kernels(out)
    cdef void *pout = writable(out)
    with nogil:
        k.uniform(n, seed, offset, pout)

def dropout(int64_t n, double p, uint64_t seed, uint64_t offset, x, y, keep):
    cdef const fn_kernels *k = kernels(y)
    cdef const void *px = address(x)
    cdef void *py = writable(y)
    cdef void *pk = writable(keep)
    with nogil:
        k.dropout(n, p, seed, offset, px, py, <uint8_t *>pk)

def dropout_backward(int64_t n, double p, dy, keep, dx):
    cdef const fn_kernels *k = kernels(dx)
    cdef const void *pdy = address(dy)
    cdef const void *pk = address(keep)
    cdef void *pdx = writable(dx)
    with nogil:
        k.dropout_backward(n, p, pdy, <const uint8_t *>pk, pdx)


# ---------------------------------------------------------------- losses

def softmax_loss(int64_t N, int64_t C, scores, labels, dscores):
    cdef const fn_kernels *k = kernels(dscores)
    cdef const void *ps = address(scores)
    cdef const int64_t *pl = <const int64_t *>address(labels)
    cdef void *pd = writable(dscores)
    cdef double loss = 0
    cdef fn_status status
    with nogil:
        status = k.softmax_loss(N, C, ps, pl, &loss, pd)
    check(status)
    return loss

def svm_loss(int64_t N, int64_t C, scores, labels, double margin, dscores):
    cdef const fn_kernels *k = kernels(dscores)
    cdef const void *ps = address(scores)
    cdef const int64_t *pl = <const int64_t *>address(labels)
    cdef void *pd = writable(dscores)
    cdef double loss = 0
    cdef fn_status status
    with nogil:
        status = k.svm_loss(N, C, ps, pl, margin, &loss, pd)
    check(status)
    return loss


# ---------------------------------------------------------------- optimiser updates

def sgd_step(int64_t n, w, g, velocity, double lr, double momentum, double dampening, bint nesterov, double weight_decay):
    cdef const fn_kernels *k = kernels(w)
    cdef void *pw = writable(w)
    cdef const void *pg = address(g)
    cdef void *pv = writable(velocity)
    with nogil:
        k.sgd_step(n, pw, pg, pv, lr, momentum, dampening, nesterov, weight_decay)

def adagrad_step(int64_t n, w, g, squares, double lr, double eps, double weight_decay):
    cdef const fn_kernels *k = kernels(w)
    cdef void *pw = writable(w)
    cdef const void *pg = address(g)
    cdef void *ps = writable(squares)
    with nogil:
        k.adagrad_step(n, pw, pg, ps, lr, eps, weight_decay)

def rmsprop_step(int64_t n, w, g, squares, double lr, double decay_rate, double eps, double weight_decay):
    cdef const fn_kernels *k = kernels(w)
    cdef void *pw = writable(w)
    cdef const void *pg = address(g)
    cdef void *ps = writable(squares)
    with nogil:
        k.rmsprop_step(n, pw, pg, ps, lr, decay_rate, eps, weight_decay)

def adam_step(int64_t n, w, g, m, v, int64_t t, double lr, double beta1, double beta2, double eps, double weight_decay, bint decoupled):
    cdef const fn_kernels *k = kernels(w)
    cdef void *pw = writable(w)
    cdef const void *pg = address(g)
    cdef void *pm = writable(m)
    cdef void *pv = writable(v)
    with nogil:
        k.adam_step(n, pw, pg, pm, pv, t, lr, beta1, beta2, eps, weight_decay, decoupled)


# ---------------------------------------------------------------- copies

def to_channels_last(int64_t N, int64_t C, int64_t pixels, x, y):
    cdef const fn_kernels *k = kernels(y)
    cdef const void *px = address(x)
    cdef void *py = writable(y)
    with nogil:
        k.to_channels_last(N, C, pixels, px, py)

def to_channels_first(int64_t N, int64_t C, int64_t pixels, x, y):
    cdef const fn_kernels *k = kernels(y)
    cdef const void *px = address(x)
    cdef void *py = writable(y)
    with nogil:
        k.to_channels_first(N, C, pixels, px, py)

def copy_rows(int64_t rows, int64_t width, src, int64_t src_offset, int64_t src_stride, dst, int64_t dst_offset, int64_t dst_stride):
    """Offsets and strides count elements."""
    cdef const fn_kernels *k = kernels(dst)
    cdef const char *ps = <const char *>address(src)
    cdef char *pd = <char *>writable(dst)
    cdef int64_t itemsize = 4 if k == fn_table(0) else 8
    with nogil:
        k.copy_rows(rows, width, ps + src_offset * itemsize, src_stride, pd + dst_offset * itemsize, dst_stride)

def subsample(int64_t N, int64_t C, int64_t H, int64_t W, int64_t stride, int64_t channels, x, y):
    cdef const fn_kernels *k = kernels(y)
    cdef const void *px = address(x)
    cdef void *py = writable(y)
    with nogil:
        k.subsample(N, C, H, W, stride, channels, px, py)


# ---------------------------------------------------------------- whole networks

cdef class Plan:
    """The steps of fastnet/backends/native_plan.py, ready to run; from several Python threads at a time, if wanted.

    steps: `count` of (packed fn_step, four arrays or None); x_image, y_image: bytes of an image.
    """

    cdef fn_plan *plan
    cdef list kept

    def __cinit__(self, int dtype, int64_t batch, int64_t arena, int64_t x_image, int64_t y_image, int64_t count, steps):
        cdef const void *arrays[4]
        cdef const char *packed
        cdef fn_status status
        cdef int64_t i
        self.plan = fn_plan_new(dtype, batch, arena, x_image, y_image, count)
        if self.plan == NULL:
            raise MemoryError("fastnet: not enough memory for a plan")
        self.kept = []
        for i, (numbers, a, b, c, d) in enumerate(steps):
            arrays[:] = [address(a), address(b), address(c), address(d)]
            packed = numbers
            if (<const int64_t *>packed)[0] != FN_CONV:
                self.kept.append((a, b, c, d))
            with nogil:
                status = fn_plan_set(self.plan, i, packed, arrays)
            check(status)
        fn_plan_ready(self.plan)

    def __dealloc__(self):
        fn_plan_free(self.plan)

    def run(self, int64_t N, x, y):
        """x: N images as kernels want activations; y: room for their outputs."""
        cdef const void *px = address(x)
        cdef void *py = writable(y)
        cdef fn_status status
        with nogil:
            status = fn_plan_run(self.plan, N, px, py)
        check(status)
