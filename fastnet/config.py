"""Facts about this installation: version, backend, instruction set, threads, extras."""

from __future__ import annotations

import importlib.util
import platform
import sys

__all__ = ["config", "show_config"]

EXTRAS = {
    "progress": "tqdm",
    "plot": "matplotlib",
    "safetensors": "safetensors",
    "images": "PIL",
    "datasets": "sklearn",
    "search": "optuna",
    "scipy": "scipy",
    "gpu": "cupy",
}


def config() -> dict[str, str]:
    """The facts that :func:`show_config` prints, as text by name."""
    import numpy

    import fastnet
    from fastnet import backends, threads

    facts = {
        "fastnet": fastnet.__version__,
        "python": f"{platform.python_version()} ({sys.platform}, {platform.machine()})",
        "numpy": numpy.__version__,
        "backend": backends.current().name,
    }
    if backends.NativeOps:
        from fastnet.backends import _native

        facts["isa"] = f"{_native.isa()} (of {', '.join(_native.isas())})"
        facts["threads"] = f"{threads.get_num_threads()} ({threads.reason()})"
        threading = _native.threading()
        facts["openmp"] = "yes" if threading == "OpenMP" else f"not used ({threading})"
        facts["compiler"] = _native.compiler()
    else:
        facts["native kernels"] = f"not built ({backends.why_not_native})"
    for extra, module in EXTRAS.items():
        found = importlib.util.find_spec(module) is not None
        facts[f"extra {extra}"] = f"{module} found" if found else f'missing: pip install "fastnet-cnn[{extra}]"'
    return facts


def show_config() -> None:
    """Print version, backend, instruction set, threads and why, OpenMP, compiler and optional extras."""
    facts = config()
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {value}")
