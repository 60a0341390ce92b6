"""Standard output and error that never fail: any character, a full disk, a pipe whose reader has gone."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

__all__ = ["Output", "guarded"]


class Output:
    """A stream like `stream`, on which write and flush raise no OSError and no UnicodeEncodeError.

    Characters that the stream's encoding does not have are written as escapes.  After a write has failed, everything
    goes to the null device, so that a long command (a training run) still does its work.

    Attributes
    ----------
    error : OSError or None
        The failure.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.error: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        encoding = getattr(self.stream, "encoding", None)
        if encoding:
            text = text.encode(encoding, "backslashreplace").decode(encoding)
        try:
            self.stream.write(text)
        except OSError as error:
            self._fail(error)
        return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        self.error = self.error or error
        with contextlib.suppress(OSError):  # a stream without a descriptor has no buffer that could fail again
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.stream.fileno())
            os.close(null)

    @property
    def failed(self) -> bool:
        """Whether output was lost, other than to a reader that has read enough, such as head."""
        return self.error is not None and not isinstance(self.error, BrokenPipeError)


@contextlib.contextmanager
def guarded() -> Iterator[Output]:
    """Replace sys.stdout and sys.stderr by Outputs; yields the former, and says on the latter if it failed."""
    with contextlib.ExitStack() as stack:

        def output(stream: TextIO | None) -> Output:  # None: the descriptor was closed when Python started
            return Output(stream or stack.enter_context(open(os.devnull, "w", encoding="utf-8")))

        out, err = output(sys.stdout), output(sys.stderr)
        stack.enter_context(contextlib.redirect_stderr(cast(TextIO, err)))
        stack.callback(err.flush)
        stack.enter_context(contextlib.redirect_stdout(cast(TextIO, out)))
        try:
            yield out
        finally:
            out.flush()
            if out.error and out.failed:
                print(f"fastnet: error: cannot write the output: {out.error.strerror}", file=sys.stderr)
