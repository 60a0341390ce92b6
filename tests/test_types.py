"""A user's type checker sees fastnet's types: it accepts right calls and reports wrong ones."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastnet

pytest.importorskip("mypy")

RIGHT = """
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

import fastnet as fn
from fastnet.types import Array

digits = fn.data.digits().split(validation=0.1)
model = fn.Sequential(
    fn.Conv2d(1, 32, 3, padding=1),
    fn.BatchNorm2d(32),
    fn.ReLU(inplace=True),
    fn.MaxPool2d(2, 2),
    [fn.Conv2d(32, (3, 3), stride=2, padding="same", groups="depthwise"), fn.LeakyReLU(negative_slope=0.1)],
    fn.Residual([fn.Conv2d(out_channels=32, kernel_size=1, bias=False)], names=("body", "shortcut")),
    fn.Flatten(),
    fn.Dropout(0.2, seed=3),
    fn.Linear(10, initializer="xavier_uniform"),
)
shape: tuple[int, ...] = model.build((1, 8, 8), seed=0, dtype=np.float32)
solver = fn.Solver(
    model,
    digits,
    loss="softmax",
    optimizer=fn.optim.AdamW(2e-3, betas=(0.9, 0.99)),
    schedule=fn.optim.CosineDecay(),
    regularizer=fn.regularizers.L2(1e-4),
    augment=[lambda x, rng: x + rng.normal(size=x.shape)],
    early_stopping=3,
)
history = solver.train(resume="auto")
losses: list[float] = history.losses
x = np.zeros((4, 1, 8, 8), np.float32)
scores: NDArray[np.float32] = model(x)
y, backward = model.forward(x, training=True)
loss, dy = fn.losses.softmax_cross_entropy(y, np.arange(4))
total: float = loss + solver.evaluate(digits.X_test, digits.y_test).accuracy
print(backward(dy).shape, backward(dy, input_gradient=False) is None)
fn.optim.SGD(lr=0.1, momentum=0.9).step(model.parameters())
names: dict[str, fn.Parameter] = dict(model.named_parameters())
for name, buffer in model.named_buffers():
    print(name, buffer.value.mean())
print(model[0].weight.value, fn.Conv2d(1, 2, 3).weight.value, model.summary().rows[0].macs)
model.save("model.npz")
model.load_state_dict(fn.interop.load_torch("weights.pth"))
fn.models.resnet20(num_classes=10, seed=np.random.default_rng(0)).predict(x)
fn.set_num_threads(2)


class Twice(fn.Layer):
    def run(self, x: Array, training: bool, ops: fn.backends.Ops) -> tuple[Array, Callable[..., Array]]:
        return 2 * x, lambda dy, input_gradient=True: 2 * dy
"""

WRONG = """
import fastnet as fn

fn.Conv2d(32)
fn.Conv2d(3, 32, 3, 1, 1, 1, 1, True, "zeros")
fn.Conv2d(filters=32, kernel_size=3)
fn.Conv2d("32", 3)
fn.Linear(features=10)
fn.Linear(10, initializer=3)
fn.LeakyReLU(slope=0.1)
fn.MaxPool2d(2, 2, 0, 2)
fn.Dropout(0.5, 3)
fn.BatchNorm2d("64")
fn.optim.Adam(beta1=0.9)
fn.optim.RMSprop(decay_rate=0.9)
fn.optim.SGD("fast")
fn.optim.AdaGrad()
fn.Conv3d(3, 32, 3)
fn.Sequential(fn.ReLU)
fn.Sequential(fn.ReLU()).build(8)
fn.Sequential(fn.ReLU()).parameters().values()
fn.models.resnet20(classes=10)
fn.data.mnist(3)
fn.losses.get(3)
fn.initializers.xavier
"""


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """The lines that mypy reports, by file, and its whole output."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "right.py").write_text(RIGHT)
    (folder / "wrong.py").write_text(WRONG)
    home = Path(fastnet.__file__).parents[1]
    environment = {name: value for name, value in os.environ.items() if name != "MYPYPATH"}
    if not {"site-packages", "dist-packages"} & set(home.parts):
        environment["MYPYPATH"] = str(home)
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "right.py", "wrong.py"]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    lines = {"right.py": set(), "wrong.py": set()}
    for file, line in re.findall(r"^(\w+\.py):(\d+): error", result.stdout, re.MULTILINE):
        lines[file].add(int(line))
    assert result.returncode in (0, 1), result.stdout + result.stderr
    return lines, result.stdout


def test_right_calls_pass(reported):
    lines, output = reported
    assert lines["right.py"] == set(), output


def test_wrong_calls_are_reported(reported):
    lines, output = reported
    source = WRONG.splitlines()
    expected = {number for number, text in enumerate(source, 1) if text.startswith("fn.")}
    assert lines["wrong.py"] == expected, [source[number - 1] for number in expected ^ lines["wrong.py"]]
