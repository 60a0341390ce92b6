"""``fastnet course``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastnet.cli.errors import UserError, user_mistakes

_EPILOG = """examples:
  fastnet course kernel                 a Jupyter kernel "Python (fastnet)": choose it; the notebook needs no changes
  fastnet course status assignment2     which files below a folder are given, built and patched
  fastnet course patch assignment2      without a hook: replace fast_layers and im2col_cython by shims
  fastnet course unpatch assignment2    before handing in: restore the folder byte for byte

also, without a command:
  %load_ext fastnet                     in a notebook's first cell
  python -m fastnet.compat run FILE     a script
"""
_KERNEL = """examples:
  fastnet course kernel                       for your user, in every Jupyter
  fastnet course kernel --sys-prefix          for this environment only
  fastnet course kernel --name cs --package mycourse
  fastnet course kernel --remove
"""
_PATCH = """Only files that the course gives are replaced. They are kept in .fastnet-originals inside the package, and
`fastnet course unpatch` puts them back. A submission made in between would hold the shims.

examples:
  fastnet course patch assignment2
  fastnet course patch . --level 1            im2col_cython alone, below the course's own fast_layers
"""
_UNPATCH = """A file that was changed after `fastnet course patch` is left as it is, and named; exit status 1.

examples:
  fastnet course unpatch assignment2
"""


def add_parser(commands: Any) -> None:
    from fastnet.compat import hook

    parser = commands.add_parser(
        "course",
        help="run a course's assignments (CS231n and siblings) on fastnet",
        description="Run a course's assignments (CS231n and siblings) on fastnet: its kernels in place of the\n"
        "course's fast_layers and im2col_cython. Files that students write are never touched.",
        epilog=_EPILOG,
    )
    parser.set_defaults(run=lambda args: parser.print_help() or 0)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")

    kernel = actions.add_parser(
        "kernel",
        help="install a Jupyter kernel that has the hook",
        description='Install the Jupyter kernel "Python (fastnet)".',
        epilog=_KERNEL,
    )
    kernel.add_argument("--name", default="fastnet", help="the kernel's name for Jupyter (default: fastnet)")
    kernel.add_argument("--display-name", metavar="TEXT", help="what menus show (default: Python (fastnet))")
    place = kernel.add_mutually_exclusive_group()
    place.add_argument("--user", action="store_true", help="in your own data folder of Jupyter (the default)")
    place.add_argument("--sys-prefix", action="store_true", help="in this Python's environment")
    place.add_argument("--prefix", type=Path, metavar="DIR", help="in DIR/share/jupyter")
    kernel.add_argument("--remove", action="store_true", help="remove it instead")
    hook.add_options(kernel)
    kernel.set_defaults(run=run_kernel)

    patch = actions.add_parser(
        "patch", help="put shims in place of the given files", description="Put shims in place of the given files.",
        epilog=_PATCH,
    )  # fmt: skip
    hook.add_options(patch)
    patch.set_defaults(run=run_patch)
    unpatch = actions.add_parser(
        "unpatch", help="restore what patch replaced", description="Restore what patch replaced.", epilog=_UNPATCH
    )
    unpatch.set_defaults(run=run_unpatch)
    status = actions.add_parser(
        "status",
        help="what is given, built and patched",
        description="Show the course packages below a folder, and what this Python lacks to run them.",
    )
    status.set_defaults(run=run_status)
    for action in (unpatch, status):
        action.add_argument("--package", action="append", metavar="NAME", help="as for patch")
    for action in (patch, unpatch, status):
        action.add_argument("folder", type=Path, metavar="DIR", help="an assignment's folder, or one above")


def run_kernel(args: Namespace) -> int:
    import sys

    from fastnet.compat import hook, jupyter

    prefix = sys.prefix if args.sys_prefix else args.prefix
    with user_mistakes():
        if args.remove:
            print(f"removed {jupyter.remove_kernel(args.name, prefix)}")
            return 0
        title = args.display_name or jupyter.DISPLAY_NAME
        folder = jupyter.install_kernel(args.name, title, prefix, args.package or hook.PACKAGES, args.level)
    print(f"wrote {folder}")
    print(f'open the notebook and choose the kernel "{title}" (Kernel > Change Kernel)')
    return 0


def _packages(args: Namespace) -> list[Path]:
    from fastnet.compat import hook, patch

    names = args.package or hook.PACKAGES
    with user_mistakes():
        found = patch.find_packages(args.folder, names)
    if not found:
        raise UserError(
            f"{args.folder} has no folder {' or '.join(names)} with a file fast_layers.py in it (the first assignment "
            "has none, and needs nothing); another package's name goes to --package"
        )
    return found


def run_patch(args: Namespace) -> int:
    from fastnet.compat import patch

    return _each(args, "patched", lambda package: patch.patch(package, args.level))


def run_unpatch(args: Namespace) -> int:
    from fastnet.compat import patch

    return _each(args, "restored", patch.unpatch)


def _each(args: Namespace, done: str, change: Callable[[Path], Any]) -> int:
    from fastnet.compat.patch import STORE

    status = 0
    for package in _packages(args):
        with user_mistakes():
            outcome = change(package)
        print(f"{package}: {f'{done} ' if outcome.changed else ''}{', '.join(outcome.changed) or 'nothing to do'}")
        for name in outcome.left:
            print(
                f"{package / name} was changed after the patch, and left as it is; its original is {STORE}/{name}: to "
                f"have it back, move {name} away and do this again"
            )
            status = 1
    return status


def run_status(args: Namespace) -> int:
    from fastnet.compat import patch, standins

    for package in _packages(args):
        print(package)
        with user_mistakes():
            for line in patch.describe(package):
                print(f"  {line}")
    missing = standins.missing()
    print(f"this Python lacks, and the hook stands in for: {', '.join(missing) or 'nothing'}")
    return 0
