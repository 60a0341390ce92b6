"""``fastnet doctor``."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import sysconfig
from argparse import Namespace
from typing import Any, NamedTuple

_EPILOG = """exit status: 0 if all is well (a missing extra is not a fault), 1 if something is wrong

examples:
  fastnet doctor
  FASTNET_NUM_THREADS=1 fastnet doctor      what an environment variable does
"""


_SELF_TEST = "a convolution and its gradients differ from NumPy's by {:.0e} of their size"


class Finding(NamedTuple):
    """A line of the report; `fault` says what to do about it, or is ""."""

    name: str
    text: str
    fault: str = ""


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "doctor",
        help="what is installed, and what is wrong with it",
        description="Show version, instruction set, threads (and the reason), OpenMP, compiler, extras and GPU;\n"
        "look for faults; compare the kernels with NumPy.",
        epilog=_EPILOG,
    )
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    findings = [*installation(), *gpu(), *builder(), *distributions(), self_test()]
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        print(f"{finding.name:<{width}}  {finding.text}")
    faults = [finding for finding in findings if finding.fault]
    print()
    for finding in faults:
        print(f"FAULT {finding.name}: {finding.fault}")
    print("all is well" if not faults else f"{len(faults)} fault{'s' if len(faults) > 1 else ''} found")
    return 1 if faults else 0


def installation() -> list[Finding]:
    """The facts that `fastnet.show_config` prints."""
    from fastnet.config import config

    faults = {
        "native kernels": "everything runs on NumPy, hundreds of times as slow; install a C compiler (see below), then "
        "install fastnet-cnn again"
    }
    return [Finding(name, text, faults.get(name, "")) for name, text in config().items()]


def gpu() -> list[Finding]:
    """What the backend "cupy" has here, and what a missing part means."""
    from fastnet import backends

    if why := backends.why_not_cupy():
        return [Finding("gpu", f"none used: {why}")]
    with backends.use_backend("cupy") as ops:
        facts = [Finding("gpu", ops.device)]
        try:
            error = _worst_difference(("cupy", "reference"))
        except Exception as problem:  # NVRTC or CUDA's headers are missing, or the driver is older than they are
            text = " ".join(str(problem).split())[:300]
            return [*facts, Finding("gpu self-test", "failed", f"kernels cannot be compiled or run: {text}")]
    fault = "" if error < 1e-4 else "the GPU's kernels compute wrong numbers; please report it"
    return [*facts, Finding("gpu self-test", _SELF_TEST.format(error), fault)]


def builder() -> list[Finding]:
    """The tools needed to build the kernels from source; wheels need none of them."""
    given = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    compiler = next((path for name in (given.split()[0], "gcc", "clang") if (path := shutil.which(name))), None)
    header = os.path.join(sysconfig.get_paths()["include"], "Python.h")
    cython = "found" if importlib.util.find_spec("Cython") else "not installed (pip fetches it for a build)"
    return [
        Finding("to build: C compiler", compiler or "none found (Debian, Ubuntu: apt-get install gcc)"),
        Finding(
            "to build: headers",
            header if os.path.exists(header) else f"no {header} (Debian, Ubuntu: apt-get install python3-dev)",
        ),
        Finding("to build: Cython", cython),
    ]


def distributions() -> list[Finding]:
    """The distribution that provides the import name; an unrelated one is called `fastnet`."""
    findings = []
    try:
        findings.append(Finding("distribution", f"fastnet-cnn {importlib.metadata.version('fastnet-cnn')}"))
    except importlib.metadata.PackageNotFoundError:
        findings.append(Finding("distribution", "fastnet-cnn is not installed; this is a source tree"))
    try:
        version = importlib.metadata.version("fastnet")
    except importlib.metadata.PackageNotFoundError:
        findings.append(Finding("import name", "no clash"))
    else:
        findings.append(
            Finding(
                "import name",
                f"clash with the distribution fastnet {version}",
                f"the unrelated distribution fastnet {version} writes into the same folder; pip uninstall fastnet "
                "fastnet-cnn, then install fastnet-cnn again",
            )
        )
    return findings


def self_test() -> Finding:
    """A convolution with its gradients, against the reference backend."""
    from fastnet import backends

    if not backends.NativeOps:
        return Finding("self-test", "left out: there are no native kernels")
    error = _worst_difference(("native", "reference"))
    fault = "" if error < 1e-4 else "the kernels compute wrong numbers; please report it"
    return Finding("self-test", _SELF_TEST.format(error), fault)


def _worst_difference(names: tuple[str, str]) -> float:
    import numpy as np

    from fastnet import backends
    from fastnet.geometry import Conv2dGeometry

    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(shape, np.float32) for shape in ((3, 17, 13, 11), (19, 17, 3, 3), (19,)))
    geometry = Conv2dGeometry.make(x.shape, w.shape, padding=1)
    dy = rng.standard_normal(geometry.y_shape, np.float32)
    results = []
    for name in names:
        with backends.use_backend(name) as ops:
            y, context = ops.conv2d(*(ops.asarray(array) for array in (x, w, b)), geometry)
            found = [y, *ops.conv2d_backward(ops.asarray(dy), context)]
            results.append([ops.to_numpy(array) for array in found])
    return float(np.max([abs(mine - other).max() / abs(other).max() for mine, other in zip(*results, strict=True)]))
