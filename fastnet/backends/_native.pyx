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

cdef extern from "fastnet.h" nogil:
    ctypedef enum fn_status:
        FN_OK
        FN_NO_MEMORY
    ctypedef enum fn_ties:
        pass
    ctypedef enum fn_map:
        pass
    ctypedef struct fn_conv:
        pass
    ctypedef struct fn_pool:
        pass
    ctypedef struct fn_axis:
        int64_t inputs, outputs, taps
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
        const void *slopes
        const void *add
        void *before
        int activation
        double a
        double b
    ctypedef union fn_word:
        int64_t i
        uint64_t u
        double d
        void *p
    enum:
        FN_MAPS
        FN_ACTIVATIONS
    const char *fn_map_names[FN_MAPS]
    const char *fn_activation_names[FN_ACTIVATIONS]

include "_kernels.pxi"

cdef extern from "fastnet.h" nogil:
    const fn_kernels *fn_table(int dtype)

include "_arrays.pxi"
include "_recording.pxi"
include "_settings.pxi"
include "_plan.pxi"

ELEMENTWISE = tuple(fn_map_names[i].decode() for i in range(FN_MAPS))  # a kernel's number is its index here

# What a convolution can end in; 0: nothing.
ACTIVATIONS = {fn_activation_names[i].decode(): i for i in range(FN_ACTIVATIONS)}
