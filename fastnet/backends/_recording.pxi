"""Kernel calls: how each runs, and how the calls of a thread are kept to be run again (engine/recording.c)."""

cdef extern from *:
    """
    static _Thread_local PyObject *recorder = NULL; /* what keeps this thread's calls */
    """
    PyObject *recorder

cdef extern from "fastnet.h" nogil:
    ctypedef fn_status (*fn_call_kernel)(const fn_kernels *k, const fn_word *words) noexcept
    ctypedef struct fn_call:
        fn_call_kernel run
        int64_t dtype, first_word, first_reference
    ctypedef struct fn_reference:
        int64_t word, array, offset
    ctypedef struct fn_action:
        int64_t deed, index
    ctypedef struct fn_recording:
        const fn_action *actions
        const fn_call *calls
        const fn_word *words
        const fn_reference *references
        const int64_t *sizes
        int64_t action_count, word_count, given
    enum:
        FN_DO_ALLOC
        FN_DO_CALL
        FN_DO_FREE
        FN_DO_BEGIN
        FN_DO_END
        FN_SUMS_BLOCK
    ctypedef struct fn_batch:
        pass
    void fn_batch_begin(fn_batch *batch)
    void fn_batch_end()
    fn_status fn_recording_run(const fn_recording *recording, void **arrays, int64_t array_count)

DO_ALLOC, DO_CALL, DO_FREE, DO_BEGIN, DO_END = FN_DO_ALLOC, FN_DO_CALL, FN_DO_FREE, FN_DO_BEGIN, FN_DO_END
SUMS_BLOCK = FN_SUMS_BLOCK


cdef int run(str name, str kinds, fn_call_kernel call, fn_word *w, const fn_kernels *k) except -1:
    """Run a kernel without the GIL."""
    cdef fn_status status
    if recorder != NULL:
        keep_call(name, kinds, call, w, k)
    with nogil:
        status = call(k, w)
    return check(status)


cdef inline bint same_array(Py_buffer *one, Py_buffer *other) noexcept:
    """Whether both are float arrays of one shape and dtype, aligned and in C order."""
    cdef int i
    if one.ndim != other.ndim or other.format == NULL or strcmp(one.format, other.format):
        return False
    if (other.format[0] != b"f" and other.format[0] != b"d") or other.format[1] != 0:
        return False
    for i in range(one.ndim):
        if one.shape[i] != other.shape[i]:
            return False
    return <uintptr_t>other.buf % other.itemsize == 0 and PyBuffer_IsContiguous(other, b"C")


def alike(list updates):
    """Whether each tuple of `updates` holds arrays (or None) that its kernel can update directly."""
    cdef Py_buffer first, other
    cdef bint same = True
    for arrays in updates:
        PyObject_GetBuffer(arrays[0], &first, PyBUF_STRIDES | PyBUF_FORMAT)
        try:
            for array in arrays:
                if array is not None:
                    PyObject_GetBuffer(array, &other, PyBUF_STRIDES | PyBUF_FORMAT)
                    same = same_array(&first, &other)
                    PyBuffer_Release(&other)
                    if not same:
                        return False
        finally:
            PyBuffer_Release(&first)
    return True


cdef int run_updates(str name, str kinds, fn_call_kernel call, const fn_word *words, list updates) except -1:
    """Run a kernel on each tuple of arrays, as one batch without the GIL; the first word is the arrays' size."""
    cdef Py_ssize_t i, j, count = len(updates), width = len(kinds)
    cdef fn_status status = FN_OK
    cdef fn_batch batch
    cdef fn_word *w
    cdef fn_word *all_words = <fn_word *>malloc((count * width + 1) * sizeof(fn_word))
    cdef const fn_kernels **tables = <const fn_kernels **>malloc((count + 1) * sizeof(void *))
    try:
        if all_words == NULL or tables == NULL:
            raise MemoryError(f"{name}: not enough memory")
        if recorder != NULL:
            (<object>recorder).batch(DO_BEGIN)
        for i, arrays in enumerate(updates):
            w = all_words + i * width
            memcpy(w, words, width * sizeof(fn_word))
            w[0].i = arrays[0].size
            for j, array in enumerate(<tuple>arrays, 1):
                w[j].p = writable(array) if kinds[j] == "w" else address(array)
            tables[i] = kernels(arrays[0])
            if recorder != NULL:
                keep_call(name, kinds, call, w, tables[i])
        if recorder != NULL:
            (<object>recorder).batch(DO_END)
        with nogil:
            fn_batch_begin(&batch)
            for i in range(count):
                status = call(tables[i], all_words + i * width)
            fn_batch_end()
        return check(status)
    finally:
        free(all_words)
        free(tables)


cdef int keep_call(str name, str kinds, fn_call_kernel call, fn_word *w, const fn_kernels *k) except -1:
    words = []
    for i, kind in enumerate(kinds):
        if kind == "c" or kind == "p":
            words.append((<const char *>w[i].p)[:sizeof(fn_conv) if kind == "c" else sizeof(fn_pool)])
        elif kind == "t":
            words.append((<const char *>w[i].p)[:axis_bytes(<const fn_axis *>w[i].p)])
        else:
            words.append(w[i].u)
    (<object>recorder).call(name, kinds, <uintptr_t>call, int(k != fn_table(0)), words)
    return 0


def set_recorder(new):
    """Tell `new` about each kernel call and each block of this thread from now on; None: nobody.

    ``new.call(name, kinds, function, dtype, words)`` gets a call before it runs, ``new.batch(DO_BEGIN)`` and
    ``new.batch(DO_END)`` stand around the calls of a batch; ``new.born(address, size)`` and ``new.died(address)`` get a
    block.
    """
    global recorder
    cdef PyObject *old = recorder
    if new is not None:
        Py_INCREF(new)
    recorder = <PyObject *>new if new is not None else NULL
    Py_XDECREF(old)


cdef class Recorded:
    """Kernel calls that run again; see fastnet/backends/native/recording.py.

    actions: (DO_ALLOC, array), (DO_CALL, call), (DO_FREE, array), and (DO_BEGIN, 0) and (DO_END, 0) around a batch.
    calls: (function, dtype, first word, first reference) of each, then a last one.  words: integers, or bytes, whose
    address is the word.  references: (word, array, offset).  Arrays are numbered: `given` arrays of the caller, the
    results (doubles), and those that the actions allocate, of these sizes in bytes.
    """

    cdef fn_recording recording
    cdef int64_t blocks, results
    cdef void *memory
    cdef list kept

    def __cinit__(self, actions, calls, words, references, sizes, int64_t given, int64_t results):
        cdef int64_t i
        cdef Py_ssize_t bytes_needed = (
            len(actions) * sizeof(fn_action) + len(calls) * sizeof(fn_call) + len(words) * sizeof(fn_word)
            + len(references) * sizeof(fn_reference) + len(sizes) * sizeof(int64_t)
        )
        self.memory = malloc(bytes_needed + 1)
        if self.memory == NULL:
            raise MemoryError("fastnet: not enough memory for a recording")
        cdef fn_action *action = <fn_action *>self.memory
        cdef fn_call *call = <fn_call *>(action + len(actions))
        cdef fn_word *word = <fn_word *>(call + len(calls))
        cdef fn_reference *reference = <fn_reference *>(word + len(words))
        cdef int64_t *size = <int64_t *>(reference + len(references))
        self.kept = [value for value in words if isinstance(value, bytes)]
        for i, (deed, index) in enumerate(actions):
            action[i].deed, action[i].index = deed, index
        for i, (function, dtype, first_word, first_reference) in enumerate(calls):
            call[i].run = <fn_call_kernel><uintptr_t>function
            call[i].dtype, call[i].first_word, call[i].first_reference = dtype, first_word, first_reference
        for i, value in enumerate(words):
            if isinstance(value, bytes):
                word[i].p = <char *><bytes>value
            else:
                word[i].u = value
        for i, (at, array, offset) in enumerate(references):
            reference[i].word, reference[i].array, reference[i].offset = at, array, offset
        for i, value in enumerate(sizes):
            size[i] = value
        self.recording = fn_recording(
            action, call, word, reference, size, len(actions), len(words), given + 1)
        self.blocks, self.results = len(sizes), results

    def __dealloc__(self):
        free(self.memory)

    def run(self, list arrays, list wanted):
        """Run all calls on arrays with the shapes and dtypes of those that were recorded.

        Returns (results, memory): the doubles, and a Block for each number of a `wanted` array, which no action frees.
        """
        cdef int64_t i, given = self.recording.given - 1, count = self.recording.given + self.blocks
        cdef fn_status status
        if len(arrays) != given:
            raise ValueError(f"{given} arrays were recorded, got {len(arrays)}")
        cdef void **places = <void **>calloc(count + self.results, sizeof(void *))
        if places == NULL:
            raise MemoryError("fastnet: not enough memory to run a recording")
        cdef double *results = <double *>(places + count)
        try:
            for i in range(given):
                places[i] = address(arrays[i])
            places[given] = results
            with nogil:
                status = fn_recording_run(&self.recording, places, count)
            check(status)
            memory = []
            for i in wanted:
                memory.append(Block(self.recording.sizes[i - given - 1], <uintptr_t>places[i]))
            return [results[i] for i in range(self.results)], memory
        finally:
            free(places)
