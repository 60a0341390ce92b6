"""Turn a student's answers into a verdict."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from fastnet.compat.check import runner
from fastnet.compat.check.compare import Case, explain, rel_error, wrong
from fastnet.compat.check.report import Result
from fastnet.compat.check.runner import Answer
from fastnet.compat.check.sources import Source
from fastnet.compat.check.task import VECTORIZED, Options
from fastnet.compat.check.tasks import forms

__all__ = ["check"]

SLOW, CHANGES = 0.5, 0.75  # the share of the points for otherwise right functions
_LEAST = {True: 0.1, False: 0.005}  # minimum time limits in seconds, with and without loops
_TIMEOUT = 10.0


class _Reference(NamedTuple):
    """The oracle's examples and outputs, and its time for the last example on this machine, in seconds."""

    examples: list
    rights: list[list[np.ndarray]]
    seconds: float


@lru_cache
def _reference(name: str, form: int, options: Options) -> _Reference:
    task = forms(name)[form][1]
    examples, rights = [example.make(options) for example in task.examples], []
    for g in examples:
        start = time.perf_counter()
        rights.append([np.asarray(right) for right in task.right(g)])
        seconds = time.perf_counter() - start
    return _Reference(examples, rights, seconds)


def check(
    source: Source, name: str, points: float, options: Options, limit: float | None, timeout: float | None
) -> Result:
    """The result of the function `name`, which must exist: of its `forms`, the one with the best score.

    Parameters
    ----------
    limit : float, optional
        Seconds above which it counts as slow; default: a multiple of the time of plain loops on this machine.
    timeout : float, optional
        Seconds after which it is stopped; default: 10 or three times the limit, whichever is larger.
    """
    best = None
    for form, (remark, _) in enumerate(forms(name)):
        result = _check(source, name, form, points, options, limit, timeout)
        if best is None or result.score > best.score:
            best = replace(result, words=f"{result.words} ({remark})") if remark else result
        if best.verdict not in ("wrong", "raises", "unchecked"):
            break
    assert best is not None
    return best


def _check(
    source: Source, name: str, form: int, points: float, options: Options, limit: float | None, timeout: float | None
) -> Result:
    """The result of one form, as in `check`."""
    task = forms(name)[form][1]
    reference = _reference(next(iter(task.functions)), form, options)
    factor = task.functions[name]
    if limit is None:
        limit = factor * reference.seconds + _LEAST[factor > 1]
    answers, printed = runner.run(source, name, form, options, limit, timeout or max(_TIMEOUT, 3 * limit))
    outputs = _outputs(task, reference, answers)
    right = sum(not wrong(case, task.tolerance) for cases in outputs.values() for case in cases)
    share = right / (len(task.examples) * len(task.outputs))
    errors = [
        rel_error(case.got, case.right)
        for cases in outputs.values()
        for case in cases
        if case.got is not None and case.got.shape == case.right.shape
    ]
    last = answers[-1]
    seconds = last.meta["seconds"] if last.kind == "returned" else None

    stopped = next((i for i, answer in enumerate(answers) if answer.kind != "returned"), None)
    sentences = [_sentence(task, output, cases) for output, cases in outputs.items()]
    verdict, words = "wrong", _wrong(task, sentences)
    if stopped is not None:
        verdict, words = _stopped(task, answers[stopped], task.examples[stopped].label)
        words = "; ".join(filter(None, [words, _wrong(task, sentences)]))
    elif not any(sentences):
        verdict, words, credit = _right(task, answers, seconds, limit, factor)
        share *= credit
    details = [] if stopped is None else [answers[stopped].meta.get("traceback", "")]
    if verdict != "right" and printed.strip():
        details.append(f"printed:\n{printed.strip()}")
    error = max(errors) if errors else None
    return Result(name, verdict, words, error, seconds, limit, share * points, points, "\n".join(filter(None, details)))


def _outputs(task, reference: _Reference, answers: Sequence[Answer]) -> dict[str, list[Case]]:
    """The returned values of each output, by example."""
    return {
        output: [
            Case(g, rights[i], answer.outputs[i], answer.meta["types"][i])
            for g, rights, answer in zip(reference.examples, reference.rights, answers, strict=False)
            if answer.kind == "returned"
        ]
        for i, output in enumerate(task.outputs)
    }


def _sentence(task, output: str, cases: Sequence[Case]) -> str:
    """What is wrong with an output; "" if nothing is."""
    failing = [case for case in cases if wrong(case, task.tolerance)]
    if not failing:
        return ""
    cause, first = explain(task, output, failing), wrong(failing[0], task.tolerance)
    sentence = cause or first
    if first.startswith(("it is NaN", "it is infinite")) and not cause:
        sentence += " (log(0) or a division by 0? exp of a large number: subtract the maximum first?)"
    if len(failing) < len(cases):
        example = next(i for i, case in enumerate(cases) if case is failing[0])
        sentence += f" (not in all examples; first in {task.examples[example].label})"
    return sentence


def _wrong(task, sentences: Sequence[str]) -> str:
    """All faults in words; outputs with the same fault are listed together."""
    together: dict[str, list[str]] = {}
    for output, sentence in zip(task.outputs, sentences, strict=True):
        if sentence:
            together.setdefault(sentence, []).append(output)
    return "; ".join(f"wrong {', '.join(outputs)}: {sentence}" for sentence, outputs in together.items())


def _stopped(task, answer: Answer, label: str) -> tuple[str, str]:
    """Verdict and description for an example without outputs."""
    meta = answer.meta
    if answer.kind == "structure":
        return "wrong", f"it returns {meta['got']}, expected ({task.returns}) ({label})"
    if answer.kind == "timeout":
        return "timeout", f"stopped after {meta['seconds']:g} s: an endless loop? ({label})"
    if answer.kind == "crash":
        return "crash", f"{meta['how']} ({label})"
    if answer.kind == "unchecked":
        return "unchecked", meta["why"]
    return "raises", f"raises {meta['error']} ({label})"


def _right(
    task, answers: Sequence[Answer], seconds: float | None, limit: float, factor: float
) -> tuple[str, str, float]:
    """(verdict, description, share of the points) for right outputs."""
    verdict, words, credit = "right", [], 1.0
    changed = sorted({name for answer in answers for name in answer.meta["changed"]})
    if changed:
        verdict, credit = "changes", credit * CHANGES
        words.append(f"it changes {', '.join(changed)} in place, which its caller may still need")
    if seconds is not None and seconds > limit:
        verdict, credit = "slow", credit * SLOW
        loops = ": is there still a loop?" if factor <= VECTORIZED else ""
        words.append(f"slow: {seconds:.2g} s, expected at most {limit:.2g} s on this machine{loops}")
    return verdict, ", but ".join(["right", *words]), credit
