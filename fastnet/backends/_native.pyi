"""The compiled extension (`_native.pyx`): addresses in, nothing checked; only fastnet calls it."""

from typing import Any

def __getattr__(name: str) -> Any: ...
