"""What is shown and kept of training: the table, the bar, History."""

import sys

import pytest
from small_runs import linear, problem, quiet

import fastnet as fn
from fastnet.optim import SGD
from fastnet.training import History


def test_table_and_bar(capsys, monkeypatch):
    fn.Solver(linear(), problem(), problem(), epochs=2, optimizer=SGD(0.1)).train()
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split("  ")[-1].strip() == "data wait" and "val acc" in lines[0]
    assert [line.split()[0] for line in lines[1:]] == ["1", "2"] and err == ""
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fn.Solver(linear(), problem(), epochs=1).train()
    assert "epoch 1/1" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "tqdm", None)
    fn.Solver(linear(), problem(), epochs=1).train()
    out, err = capsys.readouterr()
    assert err == "" and len(out.splitlines()) == 2


def test_long_epochs_show_lines_without_a_bar(capsys, monkeypatch):
    monkeypatch.setattr("fastnet.training.progress.SECONDS_BETWEEN_LINES", -1.0)
    fn.Solver(linear(), problem(), epochs=1, batch_size=16).train()
    assert capsys.readouterr().err.splitlines()[1].startswith("epoch 1/1: batch 2/4, loss ")


def test_quiet_is_silent(capsys):
    quiet(linear(), problem(), problem(), early_stopping=1, epochs=2).train()
    assert capsys.readouterr() == ("", "")


def trained():
    return quiet(linear(), problem(), problem(), epochs=3, optimizer=SGD(0.1)).train()


def test_history_plot_is_a_picture(tmp_path):
    pytest.importorskip("matplotlib")
    image = pytest.importorskip("PIL.Image")
    trained().plot(tmp_path / "curves.png")
    with image.open(tmp_path / "curves.png") as picture:
        assert picture.format == "PNG" and min(picture.size) > 300
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 10
    History().plot(tmp_path / "empty.png")
    assert (tmp_path / "empty.png").read_bytes().startswith(b"\x89PNG")


def test_history_without_matplotlib(monkeypatch, tmp_path):
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.pyplot"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"fastnet-cnn\[plot\]"):
        trained().plot(tmp_path / "curves.png")


def test_history_files(tmp_path):
    history = trained()
    history.to_json(tmp_path / "h.json")
    again = History.from_json(tmp_path / "h.json")
    assert again.to_dict() == history.to_dict() and len(again) == 3
    history.to_csv(tmp_path / "h.csv")
    lines = (tmp_path / "h.csv").read_text().splitlines()
    assert lines[0].startswith("epoch,loss,accuracy,val_loss") and len(lines) == 4
    assert float(lines[2].split(",")[1]) == history.history["loss"][1]


def test_history_shows_itself():
    history = trained()
    assert history._repr_html_().count("<tr>") == 4 and "val acc" in history._repr_html_()
    assert repr(history).startswith("History(3 epochs, 12 iterations; epoch 3, loss ")
    assert repr(History()) == "History(0 epochs, 0 iterations)" and "<table>" in History()._repr_html_()
