"""fastnet against PyTorch on this machine: convolutions, pooling, batch norm, whole training steps.

    python benches/vs_torch.py [--quick] [--only step] [--peers all] [--dtype float64] [--torch-python PATH]

Forward and all gradients; a step is forward, loss, backward and SGD with momentum.  PyTorch runs in its own
processes: in NCHW, in channels_last (NHWC), and in both compiled by torch.compile, if that works (it needs a C++
compiler) and computes the same; with glibc's allocator, tcmalloc and jemalloc (allocators.py), of which the default
leaves out some combinations.  Ratios are to the best of all; the column "untuned" is the ratio to the best with glibc.
Results are compared before anything is timed.  The lists and the targets are in workloads.py; the end of the output
shows which were reached.
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import sys
import tempfile
from pathlib import Path

import allocators
import peers
import report
import workloads

HERE = Path(__file__).resolve().parent
MODES = {
    "torch NCHW": ["--layout", "NCHW"],
    "torch NHWC": ["--layout", "NHWC"],
    "compiled NCHW": ["--layout", "NCHW", "--compile"],
    "compiled NHWC": ["--layout", "NHWC", "--compile"],
}
PEERS = {  # name: mode and allocator
    mode if allocator == allocators.UNTUNED else f"{mode} {allocator}": (mode, allocator)
    for allocator in allocators.ALLOCATORS
    for mode in MODES
}
DEFAULT = [*MODES, "torch NCHW tcmalloc", "torch NHWC tcmalloc"]
VERSION = "import torch; print(torch.__version__)"
TRIAL = "import torch; torch.compile(lambda x: x.sin() + 1)(torch.ones(9))"


def torch_sides(python: str, names) -> tuple[str, list[peers.Side]]:
    """PyTorch's version, and its sides that work here; prints which are left out, and why, and the allocators.

    Raises
    ------
    PeerError
        PyTorch is not installed, or no side is left.
    """
    try:
        version = peers.said(python, VERSION)
    except peers.PeerError as error:
        raise peers.PeerError(f"{python} has no PyTorch ({error}); --torch-python names an interpreter") from None
    environments = allocators.available()
    names = [name for name in names if PEERS[name][1] in environments]
    if any("--compile" in MODES[PEERS[name][0]] for name in names):
        try:
            peers.said(python, TRIAL)
        except peers.PeerError as error:
            print(f"torch.compile is left out, it does not work here: {error}")
            names = [name for name in names if "--compile" not in MODES[PEERS[name][0]]]
    if not names:
        raise peers.PeerError("nothing is left to compare with")
    worker = [python, str(HERE / "torch_worker.py")]
    sides = []
    for name in names:
        mode, allocator = PEERS[name]
        command = [*worker, *MODES[mode]]
        sides.append(peers.Side(name, command, "--compile" in command, environments[allocator]))
    return version, sides


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


class Peak:
    """GFLOP/s of multiply-adds in registers: the best of several bursts on an idle machine."""

    def __init__(self, dtype: str, threads: int):
        import fastnet as fn

        fn.set_num_threads(threads)
        self.dtype, self.gflops = ("float32", "float64").index(dtype), 0.0

    def measure(self) -> None:
        from fastnet.backends import _native

        self.gflops = max(self.gflops, _native.fma_peak(self.dtype, 0.05))


def machine(version: str, threads: int) -> str:
    import fastnet as fn
    from fastnet.backends import _native

    mine = f"fastnet {fn.__version__} ({_native.isa()}, {_native.compiler()})"
    return f"{processor()}, {threads} thread{'s' * (threads > 1)}, {mine} against PyTorch {version} on CPU"


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--torch-python", default=sys.executable, metavar="PATH", help="an interpreter that has torch")
    add("--only", nargs="+", choices=workloads.LISTS, default=list(workloads.LISTS))
    add("--match", default="", metavar="TEXT", help="only cases with this in their names")
    peer = f"all, or any of {', '.join(PEERS)} (default: {', '.join(DEFAULT)})"
    add("--peers", nargs="+", choices=[*PEERS, "all"], default=DEFAULT, metavar="NAME", help=peer)
    add("--dtype", choices=("float32", "float64"), default="float32")
    add("--algorithm", choices=("auto", "direct", "winograd"), default="auto", help="of fastnet's convolutions")
    add("--threads", type=int, default=peers.cores(), help="of every side (default: all processors)")
    add("--cpu-time", action="store_true", help="on one thread, processor time: for a busy machine")
    add("--rounds", type=int, default=7)
    add("--quick", action="store_true", help="an eighth of the images, 1 short round")
    add("--json", type=Path, metavar="FILE", help="write the times there")
    add("--markdown", type=Path, metavar="FILE", help="write the tables of docs/performance.md there")
    return parser


def command(args: argparse.Namespace) -> str:
    """The part of the command line that affects what is measured, for tables."""
    words = ["python", "benches/vs_torch.py"]
    for name in ("only", "match", "peers", "dtype", "algorithm", "cpu_time", "rounds", "quick"):
        value = getattr(args, name)
        if value != parser().get_default(name):
            words.append("--" + name.replace("_", "-"))
            words += [] if value is True else value if isinstance(value, list) else [str(value)]
    return shlex.join(words)


def main() -> int:
    args = parser().parse_args()
    if args.cpu_time:
        args.threads = 1
    rounds, seconds = (1, 0.01) if args.quick else (args.rounds, 0.3)
    try:
        version, others = torch_sides(args.torch_python, list(PEERS) if "all" in args.peers else args.peers)
        worker = [str(HERE / "fastnet_worker.py"), "--algorithm", args.algorithm]
        sides = [peers.Side(report.MINE, [sys.executable, *worker]), *others]
        peak, about = Peak(args.dtype, args.threads), machine(version, args.threads)
        print(f"{about}; {args.dtype}, convolutions {args.algorithm}")
        names = [side.name for side in sides]
        more = {
            "untuned": lambda *found: report.Result(*found).untuned_text(),
            "GFLOP/s": lambda *found: report.Result(*found).rate,
        }
        table = peers.Table(names, report.MINE, width=48, more=more)
        results = []

        def show(case, timings):
            peak.measure()
            results.append(report.Result(case, timings))
            table.row(case, timings)

        with tempfile.TemporaryDirectory() as folder:
            todo = workloads.cases(args.only, args.dtype, args.quick, Path(folder))
            todo = [case for case in todo if args.match in case["name"]]
            if not todo:
                raise peers.PeerError(f"no case of {', '.join(args.only)} has {args.match!r} in its name")
            peers.compare(sides, todo, args.threads, rounds, seconds, show=show, cpu_time=args.cpu_time)
    except peers.PeerError as error:
        print(f"vs_torch: {error}", file=sys.stderr)
        return 1
    run = report.Run(about, command(args), args.dtype, peak.gflops, results)
    print("", *report.lines(run), sep="\n")
    if args.json:
        args.json.write_text(json.dumps({**run._asdict(), "results": [result._asdict() for result in results]}))
    if args.markdown:
        args.markdown.write_text(report.markdown(run))
    return 0


if __name__ == "__main__":
    sys.exit(main())
