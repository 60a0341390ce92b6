"""Text in columns: cells, not characters."""

import unicodedata

import pytest

import fastnet as fn
from fastnet.columns import clip, pad, visible, width
from fastnet.tables import aligned, html_table, text_table

WIDTHS = {
    "": 0,
    "cat": 3,
    "猫": 2,
    "Hündin": 6,
    unicodedata.normalize("NFD", "Hündin"): 6,
    "고양이": 6,
    unicodedata.normalize("NFD", "고양이"): 6,
    "ｶﾞ": 2,
    "Ａ１": 4,
    "🐈": 2,
    "a\u200db\ufeff": 2,
    "नमस्ते": 4,
}


@pytest.mark.parametrize("text", WIDTHS)
def test_width(text):
    assert width(text) == WIDTHS[text]


@pytest.mark.parametrize("text", WIDTHS)
@pytest.mark.parametrize("align", "<>")
def test_pad_and_clip(text, align):
    assert width(pad(text, 9, align)) == 9 and pad(text, 9, align).strip() == text
    assert pad(text, 0) == text and clip(text, width(text)) == text
    for keep in ("start", "end"):
        assert width(clip(text * 5, 7, keep)) <= 7
    assert clip("abcdefgh", 5) == "abc.." and clip("abcdefgh", 5, keep="end") == "..fgh"


def test_visible():
    assert visible("猫 Hündin") == "猫 Hündin" == visible("猫 Hündin", "utf-8")
    assert visible("猫 Hündin", "cp1252") == r"\u732b Hündin" and visible("Hündin", "ascii") == r"H\xfcndin"
    assert visible("a\nb\t\x1b[0m\u2028\udce9") == r"a\nb\t\x1b[0m\u2028\udce9"


def test_summary_of_wide_names_is_aligned():
    model = fn.Sequential(特徴=fn.Sequential(畳み込み=fn.Conv2d(3, 3)), flat=fn.Flatten(), 分類=fn.Linear(2))
    model.build((1, 5, 5))
    rows = [line for line in str(model.summary()).splitlines() if "Conv2d" in line or "Linear" in line]
    assert len({width(line) for line in rows}) == 1 and len({width(line.partition(" ")[0]) for line in rows}) == 2
    assert len({width(line[: line.index(kind)]) for line, kind in zip(rows, ("Conv2d", "Linear"), strict=True)}) == 1


def test_tables():
    rows = [("猫", "a", "1"), ("dog", "", "10")]
    assert aligned(rows, left=2) == ["猫   a   1", "dog     10"]
    assert text_table(("name", "", "n"), rows, left=2).splitlines() == [
        "name      n",
        "-----------",
        "猫    a   1",
        "dog      10",
    ]
    head, body = "<thead><tr><th>&lt;</th></tr></thead>", "<tbody><tr><td>&amp;</td></tr></tbody>"
    assert html_table(["<"], [["&"]], ">") == f"<table><caption>&gt;</caption>{head}{body}</table>"
