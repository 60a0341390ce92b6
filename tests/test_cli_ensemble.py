"""``fastnet evaluate`` of several runs."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import fastnet as fn
from fastnet.cli import main
from fastnet.storage import to_json


@pytest.fixture
def runs(tmp_path, capsys):
    rng, y = np.random.default_rng(0), np.arange(160) % 2
    X = rng.normal(0, 1.2, (160, 8, 8)).astype(np.float32)
    X[y == 0, :, :4] += 0.4
    X[y == 1, :, 4:] += 0.4
    np.savez(tmp_path / "small.npz", X=X, y=y)
    folders = [str(tmp_path / name) for name in "abc"]
    for seed, folder in enumerate(folders):
        options = ["--data", str(tmp_path / "small.npz"), "--epochs", "2", "--seed", str(seed), "--out", folder]
        assert main(["train", "--quiet", "--no-plot", *options]) == 0
    capsys.readouterr()
    return folders


def test_several_runs_and_their_folder(runs, tmp_path, capsys):
    assert main(["evaluate", *runs, "--out", str(tmp_path / "all")]) == 0
    out = capsys.readouterr().out
    assert "an ensemble of 3 models: three_layer_convnet, trained on" in out
    accuracy, loss = (float(re.search(rf"test {what}: (\S+)", out)[1]) for what in ("accuracy", "loss"))
    members = [(float(a), float(b)) for a, b in re.findall(r"^\S+/[abc] +(\S+) +(\S+)$", out, re.M)]
    assert len(members) == 3 and loss <= np.mean([one for one, _ in members]) + 1e-4
    mean, gain = re.search(r"members: (\S+) on average, .*; the ensemble: (\S+) points", out).groups()
    assert float(mean) == pytest.approx(np.mean([one for _, one in members]), abs=1e-4)
    assert float(gain) == pytest.approx(100 * (accuracy - float(mean)), abs=0.02)
    assert main(["evaluate", str(tmp_path / "all")]) == 0
    again = capsys.readouterr().out
    assert f"test accuracy: {accuracy:.4f}" in again and "member 2" in again
    ensemble = fn.Ensemble.load(tmp_path / "all")
    assert len(ensemble) == 3
    pixels = np.random.default_rng(1).integers(0, 256, (8, 8), dtype=np.uint8)
    file = str(tmp_path / "one.png")
    pytest.importorskip("PIL.Image").fromarray(pixels).save(file)
    for folder in (*runs, str(tmp_path / "all")):  # a card as of training on image files
        for card in Path(folder).rglob("model.json"):
            card.write_text(to_json({**json.loads(card.read_text()), "pixels": (0, 255)}))
    assert main(["predict", str(tmp_path / "all"), file, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)[0]["classes"][0]["probability"]
    assert found == pytest.approx(ensemble.predict_proba(pixels[None, None]).max(), abs=1e-5)
    assert main(["inspect", str(tmp_path / "all"), file]) == 2
    assert "is an ensemble; give one of its members, such as" in capsys.readouterr().err


def test_what_is_refused(runs, tmp_path, capsys):
    assert main(["evaluate", runs[0], "--out", str(tmp_path / "all")]) == 2
    assert "--out writes an ensemble; give several models" in capsys.readouterr().err
    assert main(["evaluate", runs[0], str(tmp_path / "nowhere")]) == 2
    assert "nowhere does not exist" in capsys.readouterr().err
    np.savez(tmp_path / "other.npz", X=np.random.default_rng(0).random((40, 8, 8)), y=np.arange(40) % 4)
    options = ["--data", str(tmp_path / "other.npz"), "--epochs", "1", "--out", str(tmp_path / "d")]
    assert main(["train", "--quiet", "--no-plot", *options]) == 0
    assert main(["evaluate", runs[0], str(tmp_path / "d")]) == 2
    assert "all members must have the same output shape: member 0 has (2,)" in capsys.readouterr().err
