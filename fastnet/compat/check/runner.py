"""Run a student's function in a separate process, where it may loop forever, crash or exit.

Results are returned as JSON and plain arrays, never as pickles.  The child process is forked where that is safe
(Linux), so functions in a notebook need not be importable; elsewhere it is a fresh interpreter, and they must be.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnet.compat.check.hints import hint
from fastnet.compat.check.sources import Source
from fastnet.compat.check.task import Options, Task, Unchecked
from fastnet.compat.check.tasks import FUNCTIONS, forms, forward_name, look_up

__all__ = ["Answer", "Answers", "names_in", "run"]

_METHOD = "fork" if sys.platform == "linux" else "spawn"
_HERE = os.path.dirname(__file__)
_IMPORT = 60.0  # time limit for importing a module, in seconds
_ERROR = 200  # characters of an exception's message
_LOG, _LINES = 2000, 10  # how much printed output to keep, in bytes and lines
_FILE = 50 << 20  # maximum size of files that the child writes, in bytes: an endless loop may print


class Answer(NamedTuple):
    """The outcome of one example.

    `kind` is "returned", "structure", "raised", "unchecked", "timeout" or "crash"; `meta` has details, and `last` if
    the process has ended.  `outputs` are arrays, or None for values that are not numeric.
    """

    kind: str
    meta: dict[str, Any]
    outputs: Sequence[np.ndarray | None] = ()


class Answers(NamedTuple):
    """An answer for each example, up to the first that ended the process, and the end of the printed output."""

    answers: list[Answer]
    printed: str


# ---------------------------------------------------------------- in the child


def _serve(connection, log: str, function, *args) -> None:
    """Send the answers that the generator ``function(*args)`` yields."""
    if hasattr(os, "setsid"):
        import resource

        os.setsid()  # so that its own child processes are killed with it
        resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    file = open(log, "w", encoding="utf-8", errors="replace")  # noqa: SIM115  open until the process ends
    for descriptor in (1, 2):
        os.dup2(file.fileno(), descriptor)
    sys.stdout = sys.stderr = file
    faulthandler.enable(file)
    warnings.simplefilter("default")  # the caller's filters might raise or suppress them
    warnings.showwarning = lambda *warning, **_: print(warnings.formatwarning(*warning[:4]), end="")
    try:
        for answer in function(*args):
            file.flush()
            connection.send_bytes(_encode(answer))
    except BaseException as error:  # includes SystemExit and KeyboardInterrupt
        connection.send_bytes(_encode(_raised(error, last=True)))
    with contextlib.suppress(OSError):
        file.flush()
    connection.close()


def _encode(answer: Answer) -> bytes:
    arrays: dict[str, Any] = {f"output{i}": array for i, array in enumerate(answer.outputs) if array is not None}
    meta = {**answer.meta, "kind": answer.kind, "count": len(answer.outputs)}
    buffer = io.BytesIO()
    np.savez(buffer, meta=np.array(json.dumps(meta)), **arrays)
    return buffer.getvalue()


def _decode(message: bytes) -> Answer:
    with np.load(io.BytesIO(message), allow_pickle=False) as file:
        meta = json.loads(str(file["meta"]))
        outputs = [file[name] if (name := f"output{i}") in file else None for i in range(meta.pop("count"))]
    return Answer(meta.pop("kind"), meta, outputs)


def _raised(error: BaseException, last: bool = False) -> Answer:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_HERE)]
    lines = traceback.format_list(frames) + traceback.format_exception_only(error)
    text = "".join(c if c.isprintable() else " " for c in lines[-1].strip().splitlines()[0])  # for a table's line
    words, meaning = text if len(text) <= _ERROR else f"{text[:_ERROR]} ...", hint(text)
    error_words = f"{words.rstrip('.')}: {meaning}" if meaning else words
    return Answer("raised", {"error": error_words, "traceback": "".join(lines), "last": last})


def _describe(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    return "None" if value is None else f"one {type(value).__name__}"


def _type(value: Any) -> str:
    name = type(value).__name__
    return f"{name} of dtype {value.dtype}" if isinstance(value, np.ndarray) and _array(value) is None else name


def _array(value: Any) -> np.ndarray | None:
    if not isinstance(value, (np.ndarray, np.generic, int, float)):
        return None
    value = np.asarray(value)
    return value if value.dtype.kind in "biuf" and value.dtype.itemsize <= 8 else None


def _examples(source: Source, name: str, form: int, options: Options, limit: float) -> Iterator[Answer]:
    """Run every example; repeat the last one up to twice if it takes about `limit` seconds: others use the machine."""
    functions, task = source.load(), forms(name)[form][1]
    yield Answer("loaded", {})
    for i, example in enumerate(task.examples):
        answer = _example(functions, task, name, example, options)
        for _ in range(2):
            if i + 1 < len(task.examples) or answer.kind != "returned" or not limit / 4 < answer.meta["seconds"] < 2:
                break
            again = _example(functions, task, name, example, options)
            answer.meta["seconds"] = min(answer.meta["seconds"], again.meta.get("seconds", np.inf))
        yield answer


def _example(functions, task: Task, name: str, example, options: Options) -> Answer:
    g = example.make(options)
    np.random.seed(0)

    def forward(*args):
        made = look_up(functions, forward_name(name))
        if made is None or forward_name(name) == name:
            return None
        try:
            returned = made(*args)
        except Exception as error:
            raise Unchecked(f"{forward_name(name)}, whose cache it needs, raises {type(error).__name__}") from error
        if not isinstance(returned, (tuple, list)) or len(returned) != 2:
            raise Unchecked(f"{forward_name(name)}, whose cache it needs, returns {_describe(returned)}")
        return returned

    try:
        args = task.arguments(g, forward)
    except Unchecked as error:
        return Answer("unchecked", {"why": str(error)})
    try:
        call = look_up(functions, name)
        if task.target:
            call = task.target(call, name.partition(".")[2], g)
        before = {key: value.copy() for key, value in vars(g).items() if isinstance(value, np.ndarray)}
        start = time.perf_counter()
        returned = call(*args)
        seconds = time.perf_counter() - start
    except BaseException as error:
        return _raised(error)
    count = len(task.returns.split(", "))
    if count > 1 and not (isinstance(returned, (tuple, list)) and len(returned) == count):
        return Answer("structure", {"got": _describe(returned)})
    changed = [key for key, was in before.items() if not np.array_equal(was, vars(g)[key], equal_nan=True)]
    changed = [key for key in changed if key not in task.may_change]
    try:
        outputs = task.results(tuple(returned) if count > 1 else (returned,), args, g)
    except (TypeError, AttributeError, ValueError):  # such as a config that is not a dict
        return Answer("structure", {"got": f"({', '.join(type(part).__name__ for part in returned)})"})
    meta = {"seconds": seconds, "changed": changed, "types": list(map(_type, outputs))}
    return Answer("returned", meta, list(map(_array, outputs)))


def _names(source: Source) -> Iterator[Answer]:
    functions = source.load()
    yield Answer("names", {"names": [name for name in FUNCTIONS if look_up(functions, name) is not None]})


# ---------------------------------------------------------------- in the parent


def run(source: Source, name: str, form: int, options: Options, limit: float, timeout: float) -> Answers:
    """Run the examples of the function `name` in one of its `forms`, each for at most `timeout` seconds.

    Raises
    ------
    TypeError
        If a function cannot be imported, where the child process is not forked.
    """
    if source.functions is not None:
        needed = {root for root in (name.partition(".")[0], forward_name(name)) if root in source.functions}
        functions = {root: source.functions[root] for root in needed}
        source = Source(functions, None)
        if _METHOD != "fork":
            for function in functions.values():
                _check_importable(function)
    answers, printed = _collect(
        1 + len(FUNCTIONS[name].examples), timeout, _examples, source, name, form, options, limit
    )
    return Answers(answers[1:] if answers[0].kind == "loaded" else answers, printed)


def names_in(source: Source) -> Answers:
    """One answer of kind "names" with the available functions, or the reason why the module cannot be imported."""
    return _collect(1, _IMPORT, _names, source) if source.path else Answers(list(_names(source)), "")


def _check_importable(function) -> None:
    module, path = getattr(function, "__module__", None), getattr(function, "__qualname__", "").split(".")
    found = None if module in (None, "__main__") else sys.modules.get(module)
    for part in path:
        found = getattr(found, part, None)
    if found is not function:
        raise TypeError(
            f"{'.'.join(path) or function!r} cannot be imported in another process, which checks on {sys.platform} "
            "require: write it to a file and check that, for example check.run('cs231n/layers.py')"
        )


def _collect(count: int, timeout: float, function, *args) -> Answers:
    """Collect up to `count` answers, of which the first follows the import."""
    context: Any = multiprocessing.get_context(_METHOD)
    receiver, sender = context.Pipe(duplex=False)
    handle, log = tempfile.mkstemp(prefix="fastnet-check-", suffix=".log")
    os.close(handle)
    process = context.Process(target=_serve, args=(sender, log, function, *args), daemon=True)
    answers: list[Answer] = []
    try:
        with warnings.catch_warnings():
            # Python warns of forks in processes with threads; those that the child uses have fork handlers
            warnings.simplefilter("ignore", DeprecationWarning)
            process.start()
        sender.close()
        while len(answers) < count and not (answers and answers[-1].meta.get("last")):
            answers.append(_next(receiver, process, timeout if answers else _IMPORT))
    finally:
        _end(process)
        receiver.close()
        printed = _tail(log)
        os.unlink(log)
    return Answers(answers, printed)


def _tail(log: str) -> str:
    with open(log, "rb") as file:
        file.seek(max(0, os.path.getsize(log) - _LOG))
        return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-_LINES:])


def _next(receiver, process, timeout: float) -> Answer:
    try:
        if not receiver.poll(timeout):
            return Answer("timeout", {"seconds": timeout, "last": True})
        return _decode(receiver.recv_bytes())
    except (EOFError, OSError):
        process.join(5)
        return Answer("crash", {"how": _how(process.exitcode), "last": True})


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"it is killed by {signal.Signals(-code).name}"
    return f"it ends the process, with exit status {code}"


def _end(process) -> None:
    """Kill the child and all its own child processes."""
    if process.pid is None:
        return
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(process.pid) == process.pid:  # before its setsid, the group is still ours
                os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()
    process.close()
