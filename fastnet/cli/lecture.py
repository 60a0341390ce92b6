"""``fastnet lecture``."""

from __future__ import annotations

import argparse
import time
import traceback
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fastnet.cli import data
from fastnet.cli.arguments import Parser, add_device, add_threads, folder, machine, whole
from fastnet.cli.errors import UserError, user_mistakes

if TYPE_CHECKING:
    from fastnet.data import Dataset

_EXAMPLES = """examples:
  fastnet lecture                     the list of experiments
  fastnet lecture init                one of them: its numbers, and a picture in lectures/init
  fastnet lecture init --help         its options
  fastnet lecture all                 all of them, in less than 20 minutes on 2 cores
"""

_IMAGES = 100  # with fewer, there is less than one batch or fold of what most experiments compare


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "lecture",
        help="the experiments that lectures show, one by one",
        description="Run an experiment that lectures on convolutional networks show: print the lecture's numbers "
        "beside those measured here, draw a picture, and exit with status 1 if a number is not what theory or the "
        "lecture says.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="an experiment, or all (default: list them)")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="OPTION", help="see fastnet lecture NAME --help")
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    from fastnet import lectures

    if args.name is None:
        return _list()
    with user_mistakes():
        chosen = lectures.names() if args.name == "all" else [args.name]
        modules = {name: lectures.experiment(name) for name in chosen}
    parsed = _parse(args.name, modules, args.rest)
    with machine(parsed):
        if args.name != "all":
            return _run(args.name, modules[args.name], parsed)
        return _run_all(modules, parsed)


def _list() -> int:
    from fastnet import lectures

    names = lectures.names()
    room = max(map(len, names))
    for name in names:
        print(f"{name:<{room}}  {_summary(lectures.experiment(name))}")
    print(f"\n{len(names)} experiments; run one with `fastnet lecture NAME`, all with `fastnet lecture all`")
    return 0


def _summary(module: ModuleType) -> str:
    return (module.__doc__ or "").splitlines()[0]


def _parse(name: str, modules: dict[str, ModuleType], rest: Sequence[str]) -> Namespace:
    """The options of one experiment, or those that all share."""
    several = name == "all"
    with_data = any(getattr(module, "DATA", False) for module in modules.values())
    parser = Parser(
        prog=f"fastnet lecture {name}",
        description="Run all experiments in turn." if several else modules[name].__doc__,
        epilog=data.KINDS if with_data else "",
    )
    add = parser.add_argument
    add("--full", action="store_true", help="the lecture's own sizes, where they take longer")
    add("--seed", type=whole, default=0, metavar="N", help="of all random numbers (default: 0)")
    add("--out", type=folder, default=Path("lectures"), metavar="DIR", help="write into DIR/NAME (default: lectures)")
    add_threads(parser)
    add_device(parser)
    if with_data:
        data.add_data(parser, "digits", "default: digits")
    if not several and hasattr(modules[name], "options"):
        modules[name].options(parser)
    found, unknown = parser.parse_known_args(list(rest))
    if unknown:
        parser.refuse(unknown)
    return found


def _defaults(module: ModuleType) -> dict[str, Any]:
    """The experiment's own options with their defaults."""
    parser = Parser(add_help=False)
    if hasattr(module, "options"):
        module.options(parser)
    return vars(parser.parse_args([]))


def _loader(module: ModuleType, args: Namespace) -> Callable[[], Dataset] | None:
    """What loads and checks ``--data``; None for an experiment that takes none."""

    least = getattr(module, "IMAGES", _IMAGES)

    def load() -> Dataset:
        dataset = data.load(data.Source.of_arguments(args))
        images, classes, tests = len(dataset.y_train), len(set(dataset.y_train.tolist())), len(dataset.y_test)
        if images < least or classes < 2 or not tests:
            raise UserError(
                f"{dataset.name} has {images:,} training images of {classes} classes, and {tests:,} test images; "
                f"the experiment needs at least {least} training images, of 2 classes or more, and test images"
            )
        return dataset

    return load if getattr(module, "DATA", False) else None


def _run(name: str, module: ModuleType, args: Namespace) -> int:
    from fastnet.lectures.report import Report, Unsuitable
    from fastnet.training.arguments import check_folder

    source = getattr(module, "SOURCE", "")
    print(f"{name}: {_summary(module)}")
    if source:
        print(f"The column `lecture` holds the numbers of {source}.")
    report, start = Report(name, args, args.out / name, _loader(module, args), source), time.perf_counter()
    with user_mistakes(catch=(ImportError, Unsuitable)):
        check_folder(report.folder)
        module.run(report)
        files = report.finish(time.perf_counter() - start)
    print()
    print(f"written: {', '.join(map(str, files))}")
    wrong = sum(not row["holds"] for row in report.rows)
    if wrong:
        print(f"{wrong} of {len(report.rows)} findings do not hold")
    return 1 if wrong else 0


def _run_all(modules: dict[str, ModuleType], args: Namespace) -> int:
    """Run every experiment, also after one that fails; the status is 1 if any did."""
    outcomes = []
    for name, module in modules.items():
        start = time.perf_counter()
        try:
            status = _run(name, module, Namespace(**{**_defaults(module), **vars(args)}))
            outcome = "NOT AS EXPECTED" if status else "as expected"
        except UserError as error:
            status, outcome = 1, f"NOT RUN: {error}"
        except Exception as error:
            traceback.print_exc()
            status, outcome = 1, f"FAILED: {type(error).__name__}: {error}"
        outcomes.append((name, time.perf_counter() - start, outcome, status))
        print("\n" + "-" * 110)
    room = max(map(len, modules))
    for name, seconds, outcome, _ in outcomes:
        print(f"{name:<{room}}  {seconds:7.1f} s  {outcome}")
    failed = sum(bool(status) for *_, status in outcomes)
    total = sum(seconds for _, seconds, _, _ in outcomes)
    print(f"\n{len(outcomes) - failed} of {len(outcomes)} experiments as expected, in {total / 60:.1f} minutes")
    return 1 if failed else 0
