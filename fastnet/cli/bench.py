"""``fastnet bench``."""

from __future__ import annotations

import textwrap
from argparse import Namespace
from pathlib import Path
from typing import Any

from fastnet.cli.arguments import add_threads
from fastnet.cli.errors import UserError, user_mistakes

_EPILOG = """naive is the NumPy reference backend, timed on the number of images in the column `batch` and scaled to
the whole batch; fast is the native backend on the whole batch. Results are compared before anything is timed.

examples:
  fastnet bench --quick
  fastnet bench --ops conv2d,max_pool2d --dtype float64
  fastnet bench --threads 1 --json bench.json
"""


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "bench",
        help="the compiled kernels against plain NumPy",
        description="Time the compiled kernels against plain NumPy on this machine.",
        epilog=_EPILOG,
        late_epilog=_ops,
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="fewer shapes, smaller batches: a few seconds")
    add("--ops", metavar="A,B", help="time only these of the ops below (default: all)")
    add("--dtype", choices=("float32", "float64"), default="float32", help="of all arrays (default: float32)")
    add_threads(parser)
    add("--json", type=Path, metavar="FILE", help="also write the table to FILE")
    parser.set_defaults(run=run)


def _ops() -> str:
    from fastnet import bench

    return textwrap.fill(f"ops: {', '.join(bench.ops())}", 110, subsequent_indent="     ") + "\n"


def run(args: Namespace) -> int:
    from fastnet import bench
    from fastnet.storage import atomic_write

    ops = args.ops.split(",") if args.ops else None
    if args.json and not args.json.resolve().parent.is_dir():
        raise UserError(f"--json {args.json}: the folder {args.json.parent} does not exist")
    with user_mistakes():
        report = bench.run(ops, args.dtype, args.quick, show=print)
        if args.json:
            atomic_write(args.json, lambda file: file.write(report.to_json().encode() + b"\n"))
    return 0
