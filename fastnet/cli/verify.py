"""``fastnet verify``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastnet.cli.errors import UserError, user_mistakes

_DTYPES = ("float32", "float64")
_EPILOG = """Every op and a training run are computed with 1, 2, 3 and 7 threads, under every instruction set with fused
multiply-add that this CPU supports. Other machines with the same version of fastnet give the same hashes.

exit status: 0 if all agree, 1 if not

examples:
  fastnet verify
  fastnet verify --json here.json     to compare with another machine's
  FASTNET_ISA=portable fastnet verify without fused multiply-add: other hashes, the same for any number of threads
"""


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "verify",
        help="whether results are bit-identical for all thread counts and instruction sets",
        description="Hash what the kernels compute, under every number of threads and instruction set.",
        epilog=_EPILOG,
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the hashes there as well")
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    if args.json and not args.json.resolve().parent.is_dir():
        raise UserError(f"--json {args.json}: the folder {args.json.parent} does not exist")
    with user_mistakes():
        import fastnet
        from fastnet.backends import _native
        from fastnet.diagnose import fingerprint, machine, variants
        from fastnet.storage import write_json

        runs = variants()
        print(f"fastnet {fastnet.__version__}, kernels built by {_native.compiler()}, on {machine.cpu_name()}")
        order = _native.order_version()
        print(f"{_say([isa for isa, _ in runs])}; {_say([threads for _, threads in runs])} threads")
        print(f"order of sums: version {order}\n")
        found = {dtype: [fingerprint(isa, threads, dtype) for isa, threads in runs] for dtype in _DTYPES}
    names = list(found["float32"][0].hashes)
    width = max(map(len, names))
    print(f"{'':<{width}}  {'float32':<16}  float64")
    for name in (*names, "all of it"):
        hashes = [found[dtype][0].hashes.get(name, found[dtype][0].whole) for dtype in _DTYPES]
        print(f"{name:<{width}}  {hashes[0]}  {hashes[1]}")
    print()
    others = [line for prints in found.values() for line in _differences(prints)]
    for line in others:
        print(line)
    print("not the same bits: please report it" if others else "the same bits in all of these")
    if args.json:
        facts = {
            "fastnet": fastnet.__version__,
            "compiler": _native.compiler(),
            "cpu": machine.cpu_name(),
            "order_of_sums": order,
            "runs": [f"{isa}, {threads} threads" for isa, threads in runs],
            "same": not others,
            "hashes": {dtype: prints[0].hashes for dtype, prints in found.items()},
        }
        write_json(args.json, facts)
    return 1 if others else 0


def _say(values: Sequence[object]) -> str:
    """1, 2 and 3"""
    *most, last = dict.fromkeys(map(str, values))
    return f"{', '.join(most)} and {last}" if most else last


def _differences(prints: Sequence[Any]) -> list[str]:
    """A line for each hash that differs from the first run's."""
    first = prints[0]
    return [
        f"DIFFERS {name}, {other.dtype}: {other.hashes[name]} under {other.isa} with {other.threads} threads, "
        f"{value} under {first.isa} with {first.threads}"
        for other in prints[1:]
        for name, value in first.hashes.items()
        if other.hashes[name] != value
    ]
