"""``python -m fastnet.compat check PATH``."""

from __future__ import annotations

import argparse
import io
import os
import sys

from fastnet.compat import check

__all__ = ["main"]

_EPILOG = """exit status: 0 if every function is right, 1 if one is not, 2 for a usage error or nothing to check

examples:
  python -m fastnet.compat check assignment2/cs231n                    the functions of a folder that students write
  python -m fastnet.compat check cs231n/layers.py --names conv_forward_naive,conv_backward_naive
  python -m fastnet.compat check deeplearning/layers.py --drop-p       for CS182, and CS231n in 2016 and 2017
  python -m fastnet.compat check cs231n --json /autograder/results/results.json
"""


def main(argv: list[str]) -> int:
    """Run a command line and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m fastnet.compat check",
        description="Check a student's functions: correctness, size of the error, likely cause, and speed.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("path", help="a file such as cs231n/layers.py, or the folder that holds layers.py")
    parser.add_argument("--names", help="required functions, separated by commas (default: all known ones)")
    parser.add_argument("--json", metavar="FILE", help="write Gradescope's results.json")
    parser.add_argument("--drop-p", action="store_true", help="dropout's p is the probability of dropping")
    parser.add_argument("--l2", type=float, default=1.0, help="factor of reg * sum(W * W); 0.5 in 2015 and 2016")
    parser.add_argument("--timeout", type=float, help="seconds after which a call is stopped (default: 10, or more)")
    args = parser.parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # students write in any language
    names = None if args.names is None else [name.strip() for name in args.names.split(",")]
    try:
        report = check.run(args.path, names, drop_p=args.drop_p, l2=args.l2, timeout=args.timeout)
        if args.json:
            report.save(args.json)
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2
    if not report:
        print(f"{parser.prog}: error: {args.path}: {report}", file=sys.stderr)
        return 2
    try:
        print(report, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is flushed there at the end
        if not isinstance(error, BrokenPipeError):  # the reader of a pipe, such as head, has seen enough
            print(f"{parser.prog}: error: cannot write the report: {error.strerror}", file=sys.stderr)
            return 2
    return 0 if report.passed else 1
