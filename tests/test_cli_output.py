"""What the command line does where its output cannot be written as it is."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastnet
from fastnet.cli import main
from fastnet.columns import width

PACKAGE = str(Path(fastnet.__file__).parents[1])
NAMES = ("猫", "Hündin", "कुत्ता", "line\nbreak", "plain")


def start(command, cwd, env=(), **streams):
    """The command in a process of its own: its exit status and what it wrote to the standard error."""
    environment = {**os.environ, "PYTHONPATH": PACKAGE, **dict(env)}
    words = [sys.executable, "-m", "fastnet", *command.split()]
    return subprocess.run(words, cwd=cwd, env=environment, **{"stderr": subprocess.PIPE, **streams})


def shell(script, **options):
    """The same by way of a shell, in which $FASTNET stands for the command."""
    environment = {**os.environ, "PYTHONPATH": PACKAGE, "FASTNET": f"{sys.executable} -m fastnet"}
    return subprocess.run(["sh", "-c", script], env=environment, capture_output=True, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with images of classes of many scripts, and a run trained on them."""
    image = pytest.importorskip("PIL.Image")
    root, rng = tmp_path_factory.mktemp("scripts"), np.random.default_rng(0)
    for name in NAMES:
        (root / "photos" / name).mkdir(parents=True)
        for i in range(12):
            pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            image.fromarray(pixels).save(root / "photos" / name / f"{i}.png")
    done = start("train --data photos --epochs 1 --out run --quiet --no-plot", cwd=root)
    assert done.returncode == 0, done.stderr.decode()
    return root


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii", "utf-16", "shift_jis", "koi8-r"])
def test_any_encoding_of_the_output(run, encoding, monkeypatch):
    """Columns stay aligned, too: the accuracy begins in the same cell of each row."""
    if encoding == "cp1252":  # once in a process of its own; the others differ from it by the stream's encoding alone
        done = start("evaluate run", cwd=run, env={"PYTHONIOENCODING": encoding}, stdout=subprocess.PIPE)
        assert done.returncode == 0 and done.stderr == b""
        written = done.stdout
    else:
        streams = [io.TextIOWrapper(io.BytesIO(), encoding, write_through=True) for _ in range(2)]
        for name, stream in zip(("stdout", "stderr"), streams, strict=True):
            monkeypatch.setattr(sys, name, stream)
        monkeypatch.chdir(run)
        assert main(["evaluate", "run"]) == 0
        monkeypatch.undo()
        written, errors = (stream.buffer.getvalue() for stream in streams)
        assert errors == b""
    out = written.decode(encoding)
    table = out.split("\n\n")[1].splitlines()
    assert len(table) == 1 + len(NAMES) and "line\\nbreak" in out
    assert ("猫" in out) == (encoding in ("utf-8", "utf-16", "shift_jis")) != (r"\u732b" in out)
    starts = [re.match(r".*?  +\d+ +(\d+)  ", line).end() for line in table[1:]]
    assert len({width(line[:end]) for line, end in zip(table[1:], starts, strict=True)}) == 1


def test_training_with_a_name_beyond_the_encoding(run):
    command = "train --data photos --epochs 1 --out 学習 --no-plot"
    done = start(command, cwd=run, env={"PYTHONIOENCODING": "ascii"}, stdout=subprocess.PIPE)
    assert done.returncode == 0 and rb"\u5b66\u7fd2" in done.stdout and (run / "学習" / "model.json").is_file()
    done = start("evaluate 無い", cwd=run, env={"PYTHONIOENCODING": "ascii"}, stdout=subprocess.PIPE)
    assert done.returncode == 2 and done.stderr == rb"fastnet evaluate: error: \u7121\u3044 does not exist" + b"\n"


full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


@full
@pytest.mark.parametrize(
    "command", ["evaluate run", "doctor", "verify --help", "--version", "--help", "train --data photos --out a"]
)
def test_a_full_disk(run, command):
    with open("/dev/full", "w") as nowhere:
        done = start(command, cwd=run, stdout=nowhere)
    assert done.returncode == 1
    assert done.stderr.decode().splitlines()[-1] == "fastnet: error: cannot write the output: No space left on device"
    assert b"Traceback" not in done.stderr and b"Exception" not in done.stderr
    assert "train" not in command or (run / "a" / "model.json").is_file()  # the work is done all the same


@full
def test_a_full_disk_for_errors(run):
    with open("/dev/full", "w") as nowhere:
        assert start("evaluate nothing", cwd=run, stdout=nowhere, stderr=nowhere).returncode == 2


@pytest.mark.parametrize("command", ["evaluate run", "train --data photos --epochs 2 --out b --no-plot", "--help"])
def test_a_closed_pipe(run, command):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        done = start(command, cwd=run, stdout=pipe)
    assert done.returncode == 0 and done.stderr == b""
    assert "train" not in command or (run / "b" / "model.json").is_file()


@pytest.mark.skipif(os.name != "posix", reason="closes a descriptor in a shell")
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(run, closed):
    done = shell(f"$FASTNET evaluate run {closed}", cwd=run)
    assert done.returncode == 0 and b"Traceback" not in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="removes the working directory")
@pytest.mark.parametrize("command, status", [("doctor", 0), ("evaluate run", 2), ("train", 2), ("--help", 0)])
def test_a_working_directory_that_is_gone(tmp_path, command, status):
    if "train" in command:
        pytest.importorskip("sklearn")
    gone = tmp_path / "gone"
    gone.mkdir()
    done = shell(f"cd '{gone}' && rmdir '{gone}' && $FASTNET {command}", text=True)
    assert done.returncode == status and "Traceback" not in done.stderr, done.stderr
    assert done.stderr.count("\n") == (status == 2)


def test_names_with_control_characters_in_warnings_and_errors(tmp_path):
    """The name of a file must not colour the terminal."""
    image = pytest.importorskip("PIL.Image")
    for name in ("a", "\x1b[31mb"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(5):
            image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / "photos" / name / f"{i}.png")
    (tmp_path / "photos" / "\x1b[31mb" / "x.txt").touch()
    train = "train --data photos --epochs 1 --out run --quiet --no-plot"
    done = start(train, cwd=tmp_path, stdout=subprocess.PIPE)
    assert done.returncode == 0 and rb"left out 1 entry: \x1b[31mb/x.txt" in done.stderr and b"\x1b" not in done.stderr
    (tmp_path / "photos" / "\x1b[31mb" / "x.png").touch()
    done = start(train, cwd=tmp_path, stdout=subprocess.PIPE)
    assert done.returncode == 2 and rb"photos/\x1b[31mb/x.png (the file is empty)" in done.stderr
    assert b"\x1b" not in done.stderr
