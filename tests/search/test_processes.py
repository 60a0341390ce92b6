"""Searches that are killed, and searches that several processes share."""

from __future__ import annotations

import functools
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from fastnet.search import load, log_uniform, search
from fastnet.search.journal import FILE
from fastnet.search.locks import Lock, Worker

# A search whose trials take a while; each call of the function leaves a line.
SCRIPT = """
import sys, time
import numpy as np
from fastnet.search import log_uniform, search

folder, log, seconds, method = sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4]

def hill(lr):
    with open(log, "a") as file:
        print("start", repr(lr), file=file)
    time.sleep(seconds)
    with open(log, "a") as file:
        print("end", repr(lr), file=file)
    return -(np.log10(lr) + 2) ** 2

search(hill, {"lr": log_uniform(1e-4, 1e0)}, trials=6, fine=3, method=method, folder=folder)
"""

posix = pytest.mark.skipif(os.name != "posix", reason="SIGKILL")


def start(tmp_path, name, seconds, method="random"):
    log = tmp_path / f"{name}.txt"
    log.touch()
    arguments = [str(tmp_path / "search"), str(log), str(seconds), method]
    return subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments], stdout=subprocess.PIPE, text=True), log


def calls(log, kind):
    return [line.split()[1] for line in log.read_text().splitlines() if line.startswith(kind)]


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happens"
        time.sleep(0.01)


def settings(results):
    return [(run.stage, run.number, run.setting, run.value) for run in results.runs]


@functools.cache
def undisturbed(method):
    """The same search in this process, which nobody kills."""
    with tempfile.TemporaryDirectory() as folder:
        return settings(search(hill, {"lr": log_uniform(1e-4, 1e0)}, trials=6, fine=3, method=method, folder=folder))


def hill(lr):
    return -((np.log10(lr) + 2) ** 2)


@posix
@pytest.mark.parametrize("method", ["random", "tpe"])
def test_after_sigkill_no_finished_trial_is_lost_and_the_others_are_as_without_it(method, tmp_path):
    """Killed in its third trial, in the coarse stage, and when it is resumed in the eighth, in the fine stage."""
    done, folder = [], tmp_path / "search"
    for trial in (3, 8):
        process, log = start(tmp_path, f"killed{trial}", 0.15, method)
        starts = trial - len(done)
        wait_for(lambda log=log, starts=starts: len(calls(log, "start")) == starts)
        os.kill(process.pid, signal.SIGKILL)
        out, _ = process.communicate()
        assert ("2 of them done already" in out) == (trial == 8)
        assert not set(calls(log, "start")) & set(done)
        done += calls(log, "end")
        kept = load(folder)
        assert kept.count("finished") == len(done) == trial - 1 and kept.count("unfinished") == 1

    process, log = start(tmp_path, "resumed", 0, method)
    out, _ = process.communicate()
    assert process.returncode == 0
    assert len(calls(log, "start")) == 9 - len(done) and not set(calls(log, "start")) & set(done)
    assert "6 of them done already" in out and "1 of them done already" in out
    assert settings(load(folder)) == undisturbed(method)
    assert list((folder / "workers").iterdir()) == []


def test_a_line_that_a_killed_process_left_unfinished_is_cut_off(tmp_path):
    options = {"folder": tmp_path, "verbose": False}
    first = search(lambda lr: lr, {"lr": log_uniform(1e-4, 1)}, trials=3, **options)
    whole = (tmp_path / FILE).read_bytes()
    for torn in (b'{"op_code":4,"worker_id":"x', b"x" * 100_000):
        (tmp_path / FILE).write_bytes(whole + torn)
        again = search(lambda lr: lr, {"lr": log_uniform(1e-4, 1)}, trials=4, **options)
        assert settings(again)[:3] == settings(first) and len(again.runs) == 4
    assert b"xxx" not in (tmp_path / FILE).read_bytes()


def test_two_processes_share_one_journal(tmp_path):
    (first, log), (second, other) = (start(tmp_path, name, 0.3) for name in "ab")
    outs = [process.communicate()[0] for process in (first, second)]
    assert first.returncode == second.returncode == 0
    both = calls(log, "end"), calls(other, "end")
    assert min(map(len, both)) >= 2 and len(both[0] + both[1]) == len(set(both[0] + both[1])) == 9
    assert sorted(map(str, settings(load(tmp_path / "search")))) == sorted(map(str, undisturbed("random")))
    for out in outs:  # each tells of all trials, those before it only by their number, and of the best
        before = sum(map(int, re.findall(r"(\d+) of them done already", out)))
        assert out.count("val_acc: ") + before == 10 and out.count("best: ") == 1


@posix
def test_a_process_takes_over_the_trial_of_one_that_was_killed(tmp_path):
    (first, log), (second, other) = start(tmp_path, "a", 60), start(tmp_path, "b", 0.3)
    wait_for(lambda: calls(log, "start") and len(calls(other, "start")) > 1)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    second.communicate(timeout=60)
    assert second.returncode == 0 and set(calls(log, "start")) < set(calls(other, "end"))
    assert sorted(map(str, settings(load(tmp_path / "search")))) == sorted(map(str, undisturbed("random")))


@posix
def test_ctrl_c_ends_a_search_and_its_trial_is_run_again(tmp_path):
    process, log = start(tmp_path, "stopped", 0.5)
    wait_for(lambda: len(calls(log, "start")) == 2)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == -signal.SIGINT
    assert [run.state for run in load(tmp_path / "search").runs] == ["finished", "unfinished"]
    process, again = start(tmp_path, "again", 0)
    process.communicate()
    assert calls(again, "start")[0] == calls(log, "start")[1]


def test_a_lock_excludes(tmp_path):
    lock, other = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    assert lock.acquire() and not other.acquire(wait=False)
    lock.release()
    assert other.acquire(wait=False)
    other.release()


def test_a_worker_is_alive_until_it_signs_off(tmp_path: Path):
    one, other = Worker(tmp_path), Worker(tmp_path)
    assert one.alive(other.name) and one.alive(one.name) and not one.alive("1-abcdef")
    other.close()
    assert not one.alive(other.name)
    one.close()
    (tmp_path / "dead").touch()
    one = Worker(tmp_path)
    assert not one.alive("dead") and not (tmp_path / "dead").exists()
    one.close()
