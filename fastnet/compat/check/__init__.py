"""Check a student's functions: correctness, size of the error, likely cause, and speed.

>>> from fastnet.compat import check
>>> check.conv_forward(conv_forward_naive)            # a function, in a notebook
>>> check.run("assignment2/cs231n/layers.py")         # all functions of a file, a folder or a module
>>> check.run("cs231n").save("results/results.json")  # for Gradescope

Each function is compared with plain float64 loops or formulas that share no code with fastnet's kernels, on several of
the course's shapes.  It runs in a separate process, so an endless loop, a crash or ``sys.exit`` affects nothing else,
and the caller's random state does not change.  Time limits are multiples of the time that the loops take on the same
machine.

The checks detect mistakes, not malice: the process has all permissions of its user.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastnet.compat.check import judge, runner
from fastnet.compat.check.report import Report, Result
from fastnet.compat.check.sources import Source, sources
from fastnet.compat.check.task import Options
from fastnet.compat.check.tasks import FUNCTIONS, TASKS, forward_name

__all__ = ["Report", "Result", "run", *(name for name, task in TASKS.items() if task.target is None)]


def run(
    module: Any,
    names: Sequence[str] | None = None,
    *,
    points: Mapping[str, float] | None = None,
    drop_p: bool = False,
    l2: float = 1.0,
    limit: float | None = None,
    timeout: float | None = None,
) -> Report:
    """Check the functions of a module.

    Parameters
    ----------
    module : path, module or dict
        A file or an assignment's folder is imported only in the processes that run its functions.
    names : sequence of str, optional
        Required functions, such as "conv_forward_naive" or "KNearestNeighbor.predict_labels"; default: all known
        functions that the module has.
    points : dict of str to float, optional
        The points for each function; default 1.
    drop_p : bool
        Whether dropout's p is the probability of dropping (2016, 2017, CS182) or of keeping an element (since 2018).
    l2 : float
        The factor of reg * sum(W * W) in losses of linear classifiers: 1, or 0.5 in 2015 and 2016.
    limit : float, optional
        Seconds above which a function counts as slow; default: a multiple of the time of plain loops on this machine.
    timeout : float, optional
        Seconds after which a call is stopped; default: 10 or three times the limit, whichever is larger.

    Returns
    -------
    Report

    Raises
    ------
    ValueError
        If there is no check for one of `names` or `points`.
    FileNotFoundError
        If `module` is a path and there is no such file.
    TypeError
        If `module` is not a path, module or dict.
    """
    unknown = sorted({*(names or ()), *(points or {})} - set(FUNCTIONS))
    if unknown:
        raise ValueError(f"there is no check for {', '.join(unknown)}; there are checks for {', '.join(FUNCTIONS)}")
    options, worth = Options(drop_p, l2), points or {}
    results: dict[str, Result] = {}
    for source in sources(module):
        answers, printed = runner.names_in(source)
        if source.path is not None and answers[0].kind != "names":
            results[source.path] = _not_importable(source.path, answers[0], printed)
            continue
        for name in answers[0].meta["names"]:
            if name not in results and (names is None or name in names):
                results[name] = judge.check(source, name, worth.get(name, 1.0), options, limit, timeout)
    for name in names or ():
        if name not in results:
            results[name] = Result(
                name, "missing", "there is no such function", None, None, None, 0.0, worth.get(name, 1.0)
            )
    order = {name: i for i, name in enumerate(names or FUNCTIONS)}
    return Report(sorted(results.values(), key=lambda result: order.get(result.name, -1)))


def _not_importable(path: str, answer: runner.Answer, printed: str) -> Result:
    words = {
        "raised": f"cannot be imported: {answer.meta.get('error')}",
        "timeout": "cannot be imported: it does not end",
        "crash": f"cannot be imported: {answer.meta.get('how')}",
    }[answer.kind]
    details = "\n".join(filter(None, [answer.meta.get("traceback", ""), printed.strip()]))
    return Result(path, "raises", words, None, None, None, 0.0, 0.0, details)


def _checker(task) -> Callable[..., Result]:
    def checker(
        function: Callable,
        forward: Callable | None = None,
        *,
        drop_p: bool = False,
        l2: float = 1.0,
        limit: float | None = None,
        timeout: float | None = None,
    ) -> Result:
        if not callable(function):
            raise TypeError(f"check.{task.name}: pass the function itself, got {type(function).__name__}")
        name = getattr(function, "__name__", "")
        name = name if name in task.functions else next(iter(task.functions))
        functions = {name: function} | ({} if forward is None else {forward_name(name): forward})
        return judge.check(Source(functions, None), name, 1.0, Options(drop_p, l2), limit, timeout)

    checker.__name__ = checker.__qualname__ = task.name
    checker.__doc__ = f"""Check a student's {" or ".join(task.functions)}.

    Parameters
    ----------
    function : callable
        Returns {task.returns}.
    forward : callable, optional
        For a backward function, the forward function that creates its cache; default: the cache that the course
        describes.
    drop_p, l2, limit, timeout
        As for :func:`run`.

    Returns
    -------
    Result
    """
    return checker


globals().update({task.name: _checker(task) for task in TASKS.values() if task.target is None})
