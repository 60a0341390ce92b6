"""All tasks, and how to find their functions in a student's module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastnet.compat.check import images, layers, losses
from fastnet.compat.check.task import Task

__all__ = ["FUNCTIONS", "TASKS", "forms", "forward_name", "look_up"]

TASKS: dict[str, Task] = {task.name: task for task in (*layers.TASKS, *images.TASKS, *losses.TASKS)}
FUNCTIONS: dict[str, Task] = {name: task for task in TASKS.values() for name in task.functions}


def forms(name: str) -> list[tuple[str, Task]]:
    """The task of the function `name` and its forms of other years, each with a remark for the verdict."""
    return [("", FUNCTIONS[name]), *FUNCTIONS[name].forms]


def look_up(functions: Mapping[str, Any], name: str) -> Any:
    """The function, or the class if `name` is a method's; None if it does not exist."""
    found = functions.get(name.partition(".")[0])
    method = name.partition(".")[2]
    return found if not method or hasattr(found, method) else None


def forward_name(name: str) -> str:
    """The name of the forward function that returns the cache of the backward function `name`."""
    return name.replace("backward_alt", "backward").replace("backward", "forward")
