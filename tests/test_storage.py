"""JSON: what is written is JSON, whatever the numbers."""

import json
import math

import numpy as np
import pytest

import fastnet as fn
from fastnet import storage
from fastnet.training import BestSnapshot, Callback, History, load_checkpoint


def strictly(text):
    """json.loads, without Python's own NaN and Infinity."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


ODD = {"nan": math.nan, "infinity": math.inf, "minus infinity": -math.inf}


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
@pytest.mark.parametrize("kind", [float, np.float32, np.float64, np.array, lambda v: {"a": [(v, 1)]}, lambda v: {v: 1}])
def test_json_has_no_nan(value, kind):
    word = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    text = storage.to_json({"all": [kind(value)]})
    assert f'"{word}"' in text and "all" in strictly(text)
    assert storage.number(word) == value or math.isnan(value) and math.isnan(storage.number(word))


def test_json_of_numpy_and_of_plain_values():
    value = {"a": np.int64(3), "b": np.float32(0.5), "c": np.arange(3), "d": np.bool_(True), "e": (1, None, "é\n")}
    assert strictly(storage.to_json(value)) == {"a": 3, "b": 0.5, "c": [0, 1, 2], "d": True, "e": [1, None, "é\n"]}
    assert storage.to_json(value).isascii()
    assert [storage.number(v) for v in (1, "nan", None, "x", 2.5)] == [1, "nan", None, "x", 2.5]
    with pytest.raises(TypeError, match="set"):
        storage.to_json({"a": {1}})


def test_json_files_are_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.json"
    storage.write_json(path, {"a": math.inf})
    assert strictly(path.read_text()) == {"a": "Infinity"}
    with pytest.raises(TypeError):
        storage.write_json(path, [1, object()])
    assert strictly(path.read_text()) == {"a": "Infinity"} and list(tmp_path.iterdir()) == [path]


class Odd(Callback):
    """Columns of one's own, in NumPy's numbers and not finite."""

    def on_epoch_end(self, solver, record):
        record["worst"] = math.inf
        columns = {"worst": math.inf, "share": np.float32(math.nan), "note": "NaN"[: record["epoch"]]}
        for name, value in columns.items():
            solver.history.history.setdefault(name, []).append(value)


def test_history_and_checkpoints_keep_numbers_that_are_not_finite(tmp_path):
    X, y = np.random.default_rng(0).standard_normal((12, 4)).astype(np.float32), np.arange(12) % 2
    model = fn.Sequential(fn.Linear(2))
    callbacks, info = [Odd(), BestSnapshot("worst")], {"rate": np.float32(0.5), "limit": math.inf}
    solver = fn.Solver(
        model, (X, y), epochs=2, callbacks=callbacks, info=info, verbose=False, checkpoint=tmp_path / "run"
    )
    history = solver.train()
    history.to_json(tmp_path / "h.json")
    strictly((tmp_path / "h.json").read_text())
    checkpoint = load_checkpoint(tmp_path / "run")
    with np.load(checkpoint.path) as file:
        strictly(file["metadata"].tobytes())
    for again in (History.from_json(tmp_path / "h.json"), checkpoint.history):
        assert again.history["worst"] == [math.inf] * 2 and again.history["note"] == ["N", "Na"]
        assert all(map(math.isnan, again.history["share"]))
    resumed = fn.Solver(model, (X, y), epochs=2, callbacks=[Odd(), BestSnapshot("worst")], verbose=False)
    resumed.train(resume=checkpoint.path)
    assert resumed.callbacks[1].best == math.inf
