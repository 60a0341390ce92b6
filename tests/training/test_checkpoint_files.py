"""Files of checkpoints: crashes while writing, damage."""

import json
import os
import subprocess
import sys
from pathlib import Path

import interrupted
import numpy as np
import pytest
from interrupted import make

import fastnet as fn
from fastnet import storage
from fastnet.training import CheckpointError, load_checkpoint


def test_a_crash_while_writing_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    solver = make(tmp_path, epochs=1)
    solver.train()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def crash(file, **arrays):
        file.write(b"PK\x03\x04 half of a file")
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez", crash)
    solver.iteration += 1
    with pytest.raises(OSError, match="no space"):
        solver.save_checkpoint()
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert load_checkpoint(tmp_path).metadata["position"]["iteration"] == 5


def test_a_process_killed_while_writing_leaves_the_last_checkpoint(tmp_path):
    here = Path(interrupted.__file__)
    script = (
        f"import sys, os; sys.path[:0] = [{str(here.parent)!r}, {str(Path(fn.__file__).parents[1])!r}]\n"
        "from interrupted import *\n"
        f"solver = make({str(tmp_path)!r}, epochs=1)\n"
        "solver.train()\n"
        "save = np.savez\n"
        "def die(file, **arrays):\n"
        "    save(file, **arrays)\n"
        "    file.truncate(file.tell() // 2)\n"
        "    file.flush()\n"
        "    os._exit(9)\n"
        "np.savez = die\n"
        "solver.iteration += 1\n"
        "solver.save_checkpoint()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True)
    assert done.returncode == 9, done.stderr.decode()
    assert len(list(tmp_path.iterdir())) == 2  # the checkpoint and the torso, under another name
    assert load_checkpoint(tmp_path).metadata["position"]["iteration"] == 5


def test_data_reach_the_disk_before_the_name(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(storage.os, "fsync", lambda handle: (order.append("fsync"), fsync(handle))[1])
    monkeypatch.setattr(storage.os, "replace", lambda a, b: (order.append("replace"), replace(a, b))[1])
    make(tmp_path, epochs=1).train()
    assert order[:2] == ["fsync", "replace"] and (os.name != "posix" or order[2] == "fsync")


def spoil(path, how):
    content = bytearray(path.read_bytes())
    if how == "truncated":
        del content[len(content) // 2 :]
    elif how == "bent":
        content[len(content) // 2] ^= 0x55
    elif how == "foreign":
        content[:] = b"not a zip file"
    elif how == "empty":
        content.clear()
    elif how in ("no metadata", "no json", "other format", "missing array"):
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        if how == "no metadata":
            del arrays["metadata"]
        elif how == "missing array":
            del arrays["model/5.bias"]
        else:
            text = b"{" if how == "no json" else b'{"format": "other"}'
            arrays["metadata"] = np.frombuffer(text, np.uint8)
        np.savez(path, **arrays)
        return
    path.write_bytes(content)


KINDS = ["truncated", "bent", "foreign", "empty", "no metadata", "no json", "other format", "missing array"]


@pytest.mark.parametrize("how", KINDS)
def test_a_damaged_file_is_refused_or_passed_over(two, how):
    spoil(two[1], how)
    with pytest.raises(CheckpointError, match=two[1].name):
        make().train(resume=two[1])
    solver = make(two[0].parent, epochs=2)
    with pytest.warns(UserWarning, match=f"skipped: .*{two[1].name}"):
        solver.train(resume="auto")
    assert len(solver.history) == 2
    spoil(two[0], how)
    two[1].write_bytes(two[0].read_bytes())
    with pytest.warns(UserWarning), pytest.raises(CheckpointError, match="none of the 2 checkpoints"):
        make(two[0].parent).train(resume="auto")


def test_no_damage_gets_through(two):
    """Bytes changed or cut off anywhere: an error, or (where zip has slack) exactly what was saved."""
    content, good = two[1].read_bytes(), load_checkpoint(two[1])
    rng = np.random.default_rng(0)
    refused = 0
    for trial in range(300):
        bad = bytearray(content)
        place = int(rng.integers(len(bad)))
        if trial % 3 == 0:
            del bad[place:]
        else:
            bad[place] ^= int(rng.integers(1, 256))
        two[1].write_bytes(bad)
        try:
            loaded = load_checkpoint(two[1])
        except CheckpointError:
            refused += 1
        else:
            assert loaded.metadata == good.metadata and loaded.arrays.keys() == good.arrays.keys()
            assert all(np.array_equal(loaded.arrays[name], good.arrays[name]) for name in good.arrays)
    assert refused > 200


def edit(path, change):
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    metadata = json.loads(arrays["metadata"].tobytes())
    change(metadata)
    arrays["metadata"] = np.frombuffer(json.dumps(metadata).encode(), np.uint8)
    np.savez(path, **arrays)


def test_a_newer_format_is_refused(two):
    edit(two[1], lambda metadata: metadata.update(version=2))
    with pytest.raises(CheckpointError, match="format 2 .*install a newer one"):
        load_checkpoint(two[1])


def test_a_checkpoint_without_a_column_goes_on(two, tmp_path):
    def older(metadata):
        del metadata["history"]["history"]["waiting"]
        metadata["running"].pop("waiting", None)

    edit(two[1], older)
    with pytest.warns(UserWarning, match="the learning rate jumps"):
        history = make(epochs=3).train(resume=two[1])
    assert np.isnan(history.history["waiting"][:2]).all() and 0 <= history.history["waiting"][2] <= 1
    history.to_json(tmp_path / "history.json")
    history = fn.training.History.from_json(tmp_path / "history.json")
    history.to_csv(tmp_path / "history.csv")
    assert (tmp_path / "history.csv").read_text().splitlines()[1].endswith(",nan")
    assert history._repr_html_().count("<tr>") == 4
    pytest.importorskip("matplotlib")
    history.plot(tmp_path / "curves.png")
    fn.training.plot_runs({"run": history}, path=tmp_path / "runs.png")
