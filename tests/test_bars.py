"""Progress on stderr."""

import sys

from fastnet import bars


def test_lines_without_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(bars, "SECONDS_BETWEEN_LINES", -1.0)
    assert list(bars.counted(range(3), 3, "decoding", "image")) == [0, 1, 2]
    assert capsys.readouterr().err.splitlines() == [f"decoding: {done} of 3 images" for done in (1, 2, 3)]
    monkeypatch.setattr(bars, "SECONDS_BETWEEN_LINES", 10.0)
    assert list(bars.counted(range(3), 3, "decoding", "image")) == [0, 1, 2]
    assert not capsys.readouterr().err  # what is quick says nothing


def test_no_stderr(monkeypatch):
    monkeypatch.setattr(bars, "SECONDS_BETWEEN_LINES", -1.0)
    monkeypatch.setattr(sys, "stderr", None)
    assert bars.tqdm_class() is None and list(bars.counted("ab", 2, "decoding", "image")) == ["a", "b"]
