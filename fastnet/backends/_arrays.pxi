"""Memory of arrays, their addresses and order in memory, and how kernels' arguments are packed."""

cdef extern from "fastnet.h" nogil:
    ctypedef enum fn_kind:
        FN_ARRAY
        FN_SCRATCH
    void *fn_alloc(size_t bytes, fn_kind kind)
    void fn_free(void *block)


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


cdef inline Py_ssize_t axis_bytes(const fn_axis *axis):
    return sizeof(fn_axis) + 8 * (axis.outputs + 1 + 2 * axis.taps)


cdef const fn_axis *axis_of(bytes taps) except NULL:
    cdef const fn_axis *axis
    if taps is None or len(taps) < <Py_ssize_t>sizeof(fn_axis):
        raise ValueError(f"packed taps are expected, got {taps!r}")
    axis = <const fn_axis *><const char *>taps
    if len(taps) != axis_bytes(axis):
        raise ValueError(f"packed taps of {axis_bytes(axis)} bytes are expected, got {len(taps)}")
    return axis


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


cdef int store_epilogue(end, fn_word *w) except -1:
    """(scale, shift, slopes, add, before, activation, a, b)"""
    scale, shift, slopes, add, before, activation, a, b = end
    w[0].p, w[1].p, w[2].p, w[3].p = address(scale), address(shift), address(slopes), address(add)
    w[4].p = writable(before) if before is not None else NULL
    w[5].i, w[6].d, w[7].d = activation, a, b
    return 0


cdef inline const fn_epilogue *epilogue_of(const fn_word *w, fn_epilogue *end) noexcept nogil:
    end.scale, end.shift, end.slopes, end.add, end.before = w[0].p, w[1].p, w[2].p, w[3].p, w[4].p
    end.activation, end.a, end.b = <int>w[5].i, w[6].d, w[7].d
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
    """The memory order of an array of at most 8 axes: bit 0: the kernels' order for activations (3 and 4 axes
    channels-last, else C order); bit 1: C order; 0 if strided, unaligned or byte-swapped.
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
        if view.ndim != 4 and view.ndim != 3:
            return 3 if in_order(&view, c_order) else 0
        if view.ndim == 4:
            channels_last[:] = [1, 3, 2, 0]
        else:
            channels_last[:] = [1, 2, 0, 0]
        return in_order(&view, channels_last) | in_order(&view, c_order) << 1
    finally:
        PyBuffer_Release(&view)
