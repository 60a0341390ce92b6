"""A user's type checker sees fastnet's types: it accepts right calls and reports wrong ones."""

import ast
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastnet
from fastnet import functional
from fastnet.ops import REGISTRY

RIGHT = """
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

import fastnet as fn
from fastnet.graph import Node, Recorder
from fastnet.layers import Evaluation
from fastnet.types import Array, Backward, DType, Generator, Shape

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


class Scale(fn.Layer):
    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        self.factor = self.parameter("factor", shape[:1], "ones", rng, dtype, decay=False)
        return shape

    def run(self, x: Array, training: bool, ops: fn.backends.Ops) -> tuple[Array, Callable[..., Array | None]]:
        factor = self.factor.value[:, None, None]

        def backward(dy: Array, input_gradient: bool = True) -> Array | None:
            if self.factor.requires_grad:
                self.factor.accumulate((dy * x).sum(axis=(0, 2, 3)))
            return dy * factor if input_gradient else None

        return x * factor, backward


class Block(fn.Model):
    def __init__(self, channels: int) -> None:
        self.conv, self.norm = fn.Conv2d(channels, 3, padding=1), fn.BatchNorm2d()

    def children(self) -> dict[str, fn.Layer]:
        return {"conv": self.conv, "norm": self.norm}

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        return self.norm.place(self.conv.place(shape, rng, dtype), rng, dtype)

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        y = ops.layer(self.norm, ops.layer(self.conv, x, training), training)
        return ops.relu(ops.add(x, y))


block = Block(8)
block.build((8, 9, 9), seed=1, dtype="float64")
y, pull = block.forward(np.ones((2, 8, 9, 9)), training=True)
pulled: Backward = pull
plan = block.compile(batch_size=4, input_shape=(8, 12, 12))
outputs: Array = plan(np.ones((4, 8, 12, 12), np.float32))
sizes: tuple[tuple[int, ...], tuple[int, ...], int] = plan.input_shape, plan.output_shape, plan.batch_size
keys = block.load("model.safetensors", strict=False)
evaluation: Evaluation = model.evaluate(digits.X_test, digits.y_test, loss=fn.losses.svm)
report = model.profile(x, training=False, seconds=1.0)
slowest: str = max(report.rows, key=lambda row: row.ms).path
gflops: float = report.rows[0].rates(report.roof)["gflops"]
report.to_json("profile.json")
report.plot("roofline.png")
print(report, report.step_ms, report.to_dict()["model"])
batch: tuple[Array, Array] = digits.X_train[:8], digits.y_train[:8]
predictions: Array = model.predict(batch[0], batch_size=32).argmax(1)
trained: fn.training.History = model.fit(*batch, epochs=1, validation=batch, batch_size=4, verbose=False)
loaded: fn.Model = fn.load("runs/digits/model.safetensors")
probabilities: Array = loaded.predict_proba(batch[0])
labels: list[str] = [(loaded.class_names or ())[number] for number in loaded.predict_classes(batch[0])]
same_numbers: fn.data.Dataset = digits.with_classes(loaded.class_names or ())

w = np.zeros((4, 1, 3, 3), np.float32)
y, conv_backward = fn.functional.conv2d(x, w, None, stride=2, padding="same")
dx, dw, db = conv_backward(y)
pixels: float = float(dx.sum() + dw.sum())
no_bias: Array | None = db
y, one = fn.functional.leaky_relu(y, negative_slope=0.2)
dx = one(np.ones_like(y))
for function in (fn.functional.relu, fn.functional.sigmoid, fn.functional.tanh, fn.functional.gelu):
    y, one = function([[1.0, -2.0], [3.0, 0.5]])
y, one = fn.functional.softplus(fn.functional.elu(y, alpha=0.5)[0], beta=2.0)
y, one = fn.functional.max_pool2d(x, 2, ties="split")
y, one = fn.functional.avg_pool2d(x, (2, 2), stride=1, padding=(0, 1), count_include_pad=False)
y, one = fn.functional.global_avg_pool2d(x)
y, one = fn.functional.flatten(x)
y, linear_backward = fn.functional.linear(y, np.zeros((10, 64)), np.zeros(10))
product, both = fn.functional.matmul(y, np.zeros((10, 3)))
da, db = both(product)
y, norm_backward = fn.functional.batch_norm(x, training=True)
dx, dgamma, dbeta = norm_backward(y)
y, one = fn.functional.dropout(x, 0.3, seed=5)
columns: Array = fn.functional.im2col(x, 3, padding=1)
x_again: Array = fn.functional.col2im(columns, x.shape, 3, padding=1)
dx_only: Array | None = fn.gradients.conv2d(y, x, w, needs=(True, False, False))[0]
nhwc: Array = fn.layout.channels_last(x)
with fn.use_backend("reference") as ops:
    print(ops.name, ops.threads, fn.get_num_threads(), fn.available_backends()[0])
with fn.layers.trace(lambda name, phase, array: print(name, phase, array.shape)):
    model(x)
"""

WRONG = """
import fastnet as fn

fn.Conv2d(32)
fn.Conv2d(3, 32, 3, 1, 1, 1, 1, True, "zeros", "zeros")
fn.Conv2d(3, 32, 3, padding_mode="mirror")
fn.Conv2d(filters=32, kernel_size=3)
fn.Conv2d("32", 3)
fn.Linear(features=10)
fn.Linear(10, initializer=3)
fn.LeakyReLU(slope=0.1)
fn.MaxPool2d(2, 2, 0, 2.5)
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
fn.functional.conv2d([1.0])
fn.functional.conv2d([1.0], [1.0], strides=2)
fn.functional.relu([1.0], 0.1)
fn.functional.leaky_relu([1.0], slope=0.1)
fn.functional.gelu([1.0]).shape
fn.functional.swish([1.0])
fn.functional.max_pool2d([1.0], "2")
fn.functional.linear([1.0], [1.0])[1]([1.0]).shape
fn.gradients.conv2d([1.0], [1.0])
fn.Sequential(fn.ReLU()).compile("4")
fn.Sequential(fn.ReLU()).compile().weights
fn.ReLU().compile()
fn.Sequential(fn.ReLU()).predict([1.0], batch=3)
fn.Sequential(fn.ReLU()).evaluate([1.0], [0]).loss.shape
fn.Sequential(fn.ReLU()).profile([1.0], rounds=3)
fn.diagnose.profile(3, [1.0])
fn.Solver(fn.Sequential(fn.ReLU()), lr=0.1)
fn.Sequential(fn.ReLU()).fit([1.0])
fn.Sequential(fn.ReLU()).predict_proba([1.0], batch=3)
fn.load(3)
fn.load("a.npz").layers
fn.use_backend(3)
fn.set_num_threads("2")
fn.layout.channels_last()
fn.Sequential(fn.ReLU()).call([1.0], False, fn.backends.current())
"""


def test_functional_declares_every_elementwise_op():
    """Type checkers see the functions made from the registry as the records declare them."""
    tree = ast.parse(inspect.getsource(functional))
    blocks = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    declared = {
        function.name: {
            argument.arg: ast.literal_eval(default)
            for argument, default in zip(function.args.args[1:], function.args.defaults, strict=True)
        }
        for block in blocks
        for function in block.body
    }
    assert declared == {op.name: dict(op.attributes) for op in REGISTRY.values() if op.elementwise}


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """The lines that mypy reports, by file, and its whole output."""
    pytest.importorskip("mypy")
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
