"""RawModule of the stand-in: kernels run on the emulator, which checks what CuPy passes on unchecked."""

from __future__ import annotations

from cuda.emulator import Module

from . import graphs


class RawModule:
    """The kernels of a source, compiled when the first is asked for, as in CuPy."""

    def __init__(self, *, code, options=(), backend="nvrtc"):
        if not (isinstance(code, str) and isinstance(options, tuple) and backend in ("nvrtc", "nvcc")):
            raise TypeError("RawModule(code=str, options=tuple, backend='nvrtc' or 'nvcc')")
        self._code, self._options, self._module = code, options, None

    def compile(self, log_stream=None):
        if self._module is None:
            graphs.refuse("cuModuleLoadData")
            self._module = Module(self._code, self._options)

    def get_function(self, name):
        self.compile()
        if name not in self._module.kernels():
            raise RuntimeError(f"CUDA_ERROR_NOT_FOUND: named symbol not found ({name})")
        return RawKernel(self._module, name)


class RawKernel:
    """A kernel: called with tuples of the grid's and a block's sizes and of the arguments."""

    def __init__(self, module, name):
        self._module, self.name = module, name

    def __call__(self, grid, block, args, *, shared_mem=0):
        if not (isinstance(grid, tuple) and isinstance(block, tuple)):
            raise TypeError(f"grid and block are tuples, got {grid} and {block}")
        # CuPy launches one block where a size is 0.
        grid, block = (tuple(max(1, size) for size in sizes) for sizes in (grid, block))
        given, graph = (self.name, grid, block, [_host(each) for each in args], shared_mem), graphs.capturing()
        if graph is None:
            self._module.launch(*given)
        else:
            graph.change(self._module.launch, given)


def _host(given):
    """An argument for the emulator. CuPy passes a number's bytes as they are, so 0 is a null pointer, too."""
    if given is None:
        raise TypeError("CuPy passes None as no argument at all; a null pointer is numpy.intp(0)")
    if isinstance(given, bool):
        return int(given)
    return getattr(given, "_array", given)
