"""docs/methods.md: no item is missing, and every name, command and test in its tables exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import fastnet
from fastnet import lectures
from fastnet.cli import parser

REPOSITORY = Path(__file__).parents[1]
ITEMS = {"A": 19, "B": 17, "C": 9, "D": 21, "E": 12, "F": 23, "G": 8, "H": 27, "I": 5, "J": 10, "K": 17, "L": 6}
ITEMS |= {"M": 20, "N": 3, "O": 14, "P": 8, "Q": 9, "R": 12, "S": 4}
LATER = {"A18"}  # a GPU
TEXT = (REPOSITORY / "docs" / "methods.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in TEXT.splitlines()
    if re.match(r"\| [A-Z]\d+ \|", line)
]
NAMED = [row for row in ROWS if "*nothing to run*" not in row[2] and row[0] not in LATER]


def test_no_item_is_missing():
    assert [row[0] for row in ROWS] == [f"{group}{i}" for group, count in ITEMS.items() for i in range(1, count + 1)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_row_is_whole(row):
    assert len(row) == 6 and all(row[1:]), f"an empty cell in {row}"


@pytest.mark.parametrize("row", NAMED, ids=lambda row: row[0])
def test_its_names_exist(row):
    names = re.findall(r"`([^`]+)`", row[2])
    assert names, f"{row[0]} names nothing of the package"
    for name in names:
        if name.startswith("fastnet "):
            check_command(name.split())
        elif name.startswith("benches/") or name.startswith("examples/"):
            assert (REPOSITORY / name).is_file(), name
        elif re.match(r"[\w.]+(\(|$)", name):
            resolve(name.split("(")[0])


@pytest.mark.parametrize("row", NAMED, ids=lambda row: row[0])
def test_its_test_exists(row):
    tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row[5])
    assert tests, f"{row[0]} has no test: {row[5]}"
    for file, name in tests:
        assert re.search(rf"^def {name}\(", (REPOSITORY / file).read_text(encoding="utf-8"), re.M), f"{file}::{name}"


def check_command(words):
    commands = parser().commands
    assert words[1] in commands, " ".join(words)
    if words[1] == "lecture" and len(words) > 2:
        assert words[2] in lectures.names(), " ".join(words)
    for option in re.findall(r"--[\w-]+", " ".join(words)):
        if words[1] != "lecture":
            assert option in commands[words[1]].format_help(), f"{' '.join(words)}: no option {option}"


def resolve(name):
    found = fastnet
    for part in name.removeprefix("fastnet.").split("."):
        assert hasattr(found, part), f"fastnet has no {name}"
        found = getattr(found, part)
