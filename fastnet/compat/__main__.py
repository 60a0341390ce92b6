"""``python -m fastnet.compat run script.py``: run an unmodified script with the import hook installed."""

from __future__ import annotations

import argparse
import io
import os
import runpy
import sys
import types

from fastnet.compat import hook

_EPILOG = """examples:
  python -m fastnet.compat run train.py --epochs 3          the script's own arguments follow its name
  python -m fastnet.compat run -m assignment2.train
  python -m fastnet.compat run --package mycourse train.py
  python -m fastnet.compat check --help                     the checks for teachers and students
"""


def main(argv: list[str]) -> None:
    """Run a command line; exit as the script does."""
    if argv[:1] == ["check"]:
        from fastnet.compat.check import command

        sys.exit(command.main(argv[1:]))
    parser = argparse.ArgumentParser(
        prog="python -m fastnet.compat",
        description="Run a script from a course assignment on fastnet, as `python script.py` would run it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("command", choices=["run"])
    hook.add_options(parser)
    parser.add_argument("-m", dest="module", action="store_true", help="run a module by name, like `python -m`")
    parser.add_argument("script", help="a file, or a module with -m")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="the script's own arguments")
    args = parser.parse_args(argv)
    try:
        hook.install(args.package or hook.PACKAGES, args.level)
    except ValueError as error:
        parser.error(str(error))
    if args.module:
        sys.argv = [args.script, *args.arguments]
        _end_as_alone(lambda: runpy.run_module(args.script, run_name="__main__", alter_sys=True))
    else:
        if not os.path.isfile(args.script):
            parser.error(f"no such file: {args.script}")
        sys.argv = [args.script, *args.arguments]
        _end_as_alone(lambda: run_script(args.script))


def run_script(path: str) -> None:
    """Execute a file as the main module, with its folder first on ``sys.path``."""
    path = os.path.join(os.getcwd(), path)
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    module = types.ModuleType("__main__")
    vars(module).update(__file__=path, __builtins__=__builtins__)
    sys.modules["__main__"] = module
    with io.open_code(path) as file:
        source = file.read()
    exec(compile(source, path, "exec", dont_inherit=True), vars(module))


def _end_as_alone(run) -> None:
    """Report an uncaught exception with only the script's own frames in its traceback."""
    try:
        run()
    except Exception as error:
        trace = error.__traceback__
        while trace and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
