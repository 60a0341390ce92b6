"""Profiles: the right rows in the right order, numbers that add up, nothing changed.  No test depends on the time."""

from __future__ import annotations

import json

import numpy as np
import pytest

import fastnet as fn
from fastnet import backends
from fastnet.diagnose import Profile, Roof, Row, measure_roof, roofline
from fastnet.diagnose import clock as clocks
from fastnet.diagnose.work import Work
from fastnet.graph import Program
from fastnet.graph.fusion import TRAINING, fuse

if backends.NativeOps is None:
    pytest.skip(f"the extension was not built: {backends.why_not_native}", allow_module_level=True)

from fastnet.backends import _native


def net():
    model = fn.Sequential(
        fn.Conv2d(16, 3, padding=1),
        fn.BatchNorm2d(),
        fn.ReLU(),
        fn.Residual([fn.Conv2d(16, 3, padding=1), fn.BatchNorm2d()], [fn.Conv2d(16, 1)]),
        fn.ReLU(),
        fn.MaxPool2d(2),
        fn.Flatten(),
        fn.Dropout(0.5),
        fn.Linear(5),
    )
    model.build((16, 8, 8), seed=0)
    return model


def images(count=4):
    return np.random.default_rng(0).normal(size=(count, 16, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def trained():
    return net().profile(images(), seconds=0)


@pytest.fixture(scope="module")
def inferred():
    return net().profile(images(), training=False, seconds=0)


def passes(profile):
    return [(row.path, row.layer, row.phase) for row in profile.rows if not row.part]


def parts(profile, path, phase="backward"):
    return {row.part: row for row in profile.rows if (row.path, row.phase) == (path, phase) and row.part}


# ---------------------------------------------------------------- rows


def test_training_has_a_row_for_each_pass_of_each_step_in_order(trained):
    layers = [
        ("0", "Conv2d+BatchNorm2d+ReLU"),
        ("3.shortcut.0", "Conv2d"),
        ("3.body.0", "Conv2d+BatchNorm2d"),
        ("3", "Residual"),
        ("4", "ReLU+MaxPool2d"),
        ("6", "Flatten"),
        ("7", "Dropout"),
        ("8", "Linear"),
    ]
    expected = [("", phase, phase) for phase in ("input", "loss", "update")]
    expected += [(*layer, phase) for layer in layers for phase in ("forward", "backward")]
    assert passes(trained) == expected
    assert trained.training and (trained.batch, trained.input_shape) == (4, (16, 8, 8))


def test_inference_shows_what_is_folded(inferred):
    assert [names for names in passes(inferred) if names[2] == "forward"] == [
        ("0", "Conv2d+BatchNorm2d+ReLU", "forward"),
        ("3.shortcut.0", "Conv2d", "forward"),
        ("3.body.0", "Conv2d+BatchNorm2d", "forward"),
        ("4", "ReLU+MaxPool2d", "forward"),
        ("6", "Flatten", "forward"),
        ("8", "Linear", "forward"),
    ]
    assert not {row.phase for row in inferred.rows} & {"backward", "loss", "update"}


def test_gradients_of_products_are_taken_apart(trained):
    norm = "batch_norm_activation_backward"
    assert set(parts(trained, "3.body.0")) == {"batch_norm_backward", "input", "weight", "bias"}
    assert set(parts(trained, "8")) == {"input", "weight", "bias"}
    assert set(parts(trained, "0")) == {norm, "weight", "bias"}, "nobody wants the input gradient of the first layer"
    whole = next(row for row in trained.rows if (row.path, row.phase, row.part) == ("8", "backward", ""))
    assert whole.work == tuple(sum(row.work[i] for row in parts(trained, "8").values()) for i in range(3))
    assert parts(trained, "8")["weight"].work.flops == 2 * 4 * 256 * 5


def test_forms_and_what_others_would_take(trained):
    body, shortcut = parts(trained, "3.body.0"), parts(trained, "3.shortcut.0")
    for part in ("input", "weight"):
        assert body[part].forms == ("winograd",) and set(body[part].others) == {"direct"}
        assert body[part].work.done < body[part].work.flops
        assert "winograd" not in shortcut[part].forms and shortcut[part].others == {}
        assert shortcut[part].work.done == shortcut[part].work.flops
    forward = parts(trained, "3.body.0", "forward")["conv2d"]
    assert forward.forms == ("winograd",) and forward.others["direct"] > 0


def test_the_algorithm_that_is_set_is_the_one_that_is_profiled(algorithm):
    profile = net().profile(images(), seconds=0)
    assert profile.algorithm == algorithm == fn.get_conv_algorithm()
    body = parts(profile, "3.body.0")["weight"]
    assert body.forms == ("gemm" if algorithm == "direct" else "winograd",)
    assert set(body.others) == {"direct", "winograd"} - {algorithm}


def test_max_pooling_after_a_convolution_is_profiled_as_it_runs():
    """One call each way, whose gradients are the whole's: patches, a quarter of the products."""
    model = fn.Sequential(fn.Conv2d(16, 5), fn.ReLU(), fn.MaxPool2d(2), fn.Flatten(), fn.Linear(5))
    model.build((3, 12, 12), seed=0)
    x = np.random.default_rng(0).normal(size=(8, 3, 12, 12)).astype(np.float32)
    profile = model.profile(x, seconds=0)
    rows = {(row.phase, row.part): row for row in profile.rows if row.path == "0"}
    assert rows["forward", ""].ops == ("conv2d_max_pool",)
    assert set(rows["backward", ""].ops) == {"conv2d_max_pool_backward"}
    weight = rows["backward", "weight"]
    assert weight.forms == ("patches",) and weight.work.done < 0.26 * weight.work.flops
    model.forward(x, training=True)[1](np.ones((8, 5), np.float32), False)  # as without the clock
    assert "patches" in _native.conv_forms()


def test_a_shared_layer_has_rows_for_each_of_its_places():
    shared = fn.Linear(6)
    model = fn.Sequential(shared, fn.Softmax(1), shared)
    model.build((6,))
    rows = passes(model.profile(np.ones((3, 6), np.float32), seconds=0))
    assert rows.count(("0", "Linear", "forward")) == rows.count(("0", "Linear", "backward")) == 2


def test_outputs_that_are_no_scores_need_no_loss():
    model = fn.Sequential(fn.Conv2d(4, 3), fn.Concat([fn.ReLU(), fn.Tanh()]))
    profile = model.profile(np.ones((2, 3, 6, 6), np.float32), seconds=0)
    assert "loss" not in {row.phase for row in profile.rows}
    assert ("1", "Concat", "forward") in passes(profile) and ("1", "Concat", "backward") in passes(profile)


# ---------------------------------------------------------------- nothing is changed


def test_the_model_is_left_as_it_was():
    model, x = net(), images()
    model.zero_grad()
    y, backward = model.forward(x, training=True)
    backward(y)
    before = {name: value.copy() for name, value in model.state_dict().items()}
    grads = [None if p.grad is None else p.grad.copy() for p in model.parameters()]
    streams, algorithm = model.rng_state(), fn.get_conv_algorithm()
    for training in (True, False):
        model.profile(x, training, seconds=0)
    assert {name: value.tobytes() for name, value in model.state_dict().items()} == {
        name: value.tobytes() for name, value in before.items()
    }
    for parameter, grad in zip(model.parameters(), grads, strict=True):
        np.testing.assert_array_equal(parameter.grad, grad)
    assert (model.rng_state(), fn.get_conv_algorithm()) == (streams, algorithm)


def clocked(clock, model, x):
    return Program(fuse(model.graph(x.shape, True), TRAINING), clock.ops, True, around=clock.around)


@pytest.mark.parametrize("split", [False, True])
def test_a_timed_step_has_the_same_bits(split):
    """Fused as usual, gradients separately or together."""

    def run(clock):
        model, x = net(), images()
        y, backward = (
            clocked(clock, model, x).forward(backends.current().asarray(x))
            if clock
            else model.forward(x, training=True)
        )
        dx = backward(y)
        kept = [p.grad for p in model.parameters(requires_grad=True) if p.name not in before_norm]
        return [array.tobytes() for array in (y, dx, *kept)]

    before_norm = ("0.bias", "3.body.0.bias")  # whose gradient is 0 when fused, or rounding noise

    assert run(clocks.Clock(backends.current(), split=split)) == run(None)


def test_a_frame_holds_the_time_of_its_calls(monkeypatch):
    """With a clock that advances by one at each reading."""
    ticks = iter(range(10**6))
    monkeypatch.setattr(clocks.time, "perf_counter", lambda: next(ticks))
    clock, model, x = clocks.Clock(backends.current()), net(), images()
    program = clocked(clock, model, x)
    start = next(ticks)
    y, backward = program.forward(backends.current().asarray(x))
    backward(y, input_gradient=False)
    total = next(ticks) - start
    frames = [frame for use in clock.uses for frame in (use.forward, use.backward)]
    assert all(frame.seconds >= sum(call.seconds for call in frame.calls) >= 0 for frame in frames)
    assert sum(frame.seconds for frame in frames) <= total
    calls = [call.op for use in clock.uses for call in use.forward.calls]
    assert calls[0] == "conv2d_batch_norm" and "linear" in calls


def test_layers_that_compute_by_themselves_show_the_ops_that_they_call():
    class Swish(fn.Layer):
        def run(self, x, training, ops):
            y, saved = ops.sigmoid(x)
            return x * y, lambda dy, input_gradient=True: ops.sigmoid_backward(dy * x, saved) + dy * y

    model = fn.Sequential(fn.Conv2d(4, 3), Swish(), fn.Flatten(), fn.Linear(3))
    rows = model.profile(np.ones((2, 3, 6, 6), np.float32), seconds=0).rows
    found = {row.phase: row.ops for row in rows if row.layer == "Swish" and not row.part}
    assert found == {"forward": ("sigmoid",), "backward": ("sigmoid_backward",)}


# ---------------------------------------------------------------- the machine, and what is made of it

ROOF = Roof("a CPU", "avx2", "gcc", "float32", 2, 100.0, 50.0, 10.0, 2.0)


def test_bounds():
    assert ROOF.bound(Work(4e9, 1e9, 10**6)) == "compute"
    assert ROOF.bound(Work(4e9, 1e6, 10**6)) == "memory"
    assert ROOF.bound(Work(10, 10, 10)) == "overhead"
    assert ROOF.bound(Work(1e6, 1e6, 10), calls=1) == "compute"
    assert ROOF.bound(Work(1e6, 1e6, 10), calls=6) == "overhead"
    assert ROOF.floors(Work(9e9, 1e9, 10**9), 3) == {"compute": 0.01, "memory": 0.1, "overhead": 6e-6}


def test_a_disturbed_peak_is_told():
    assert ROOF.warning == ""
    disturbed = Roof("a CPU", "avx2", "gcc", "float32", 4, 90.0, 50.0, 10.0, 2.0)
    assert "4 threads reach only 1.8 times" in disturbed.warning
    assert ROOF.best(disturbed).gflops == 100 and disturbed.best(ROOF).gflops == 100
    profile = Profile(disturbed, "net", (1, 2, 2), 3, True, "auto", 1.0, [ROW])
    assert "warning: 4 threads" in str(profile) and profile.to_dict()["roof"]["warning"]
    assert max(map(len, str(profile).splitlines())) <= 120


def test_the_machine_is_measured():
    before = fn.get_num_threads()
    roof = measure_roof("float64", 0.0)
    assert roof.threads == before == fn.get_num_threads() and roof.dtype == "float64"
    assert min(roof.gflops, roof.gflops_one, roof.gbs, roof.call_us) > 0 and roof.cpu


ROW = Row(
    "a.b",
    "Conv2d",
    "forward",
    "",
    2.0,
    2.5,
    Work(8e8, 2e8, 10**7),
    "compute",
    ("conv2d",),
    ("winograd",),
    {"direct": 5.0},
)


def test_rates_and_shares():
    profile = Profile(ROOF, "net", (3, 8, 8), 16, True, "auto", 10.0, [ROW])
    row = profile.to_dict()["rows"][0]
    expected = {
        "gflops": 400,
        "gflops_done": 100,
        "percent_of_peak": 100,
        "gbs": 5,
        "percent_of_bandwidth": 50,
        "percent_of_step": 20,
        "ms": 2,
        "median_ms": 2.5,
    }
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    assert row["others"] == {"direct": 5.0} and row["bytes"] == 10**7
    line = next(line for line in str(profile).splitlines() if line.startswith("a.b"))
    assert " ".join(line.split()) == "a.b Conv2d forward 2.000 20.0 400 100 100 5.0 50 compute winograd direct 2.5x"


def test_the_table_fits_a_terminal(trained, inferred):
    for profile in (trained, inferred):
        lines = str(profile).splitlines()
        assert max(map(len, lines)) <= 120 and repr(profile) == str(profile)
        assert sum(line.startswith("3.body.0 Conv2d") for line in lines) == (2 if profile.training else 1)
        assert f"{profile.step_ms:.3f} ms" in lines[0]
        header = next(i for i, line in enumerate(lines) if line.startswith("layer "))
        end = lines[header].index(" ms ") + 3
        for row, line in zip(profile.rows, lines[header + 2 :], strict=False):  # whatever its names, under its headers
            assert line[:end].endswith(f" {row.ms:.3f}") and line[end] == " ", line
    assert trained._repr_html_().count("<tr>") == len(trained.rows) + 1


def test_json(trained, tmp_path):
    trained.to_json(tmp_path / "profile.json")
    read = json.loads((tmp_path / "profile.json").read_text())
    assert read == json.loads(json.dumps(trained.to_dict()))
    assert read["layers_ms"] == pytest.approx(sum(row["ms"] for row in read["rows"] if not row["part"]))
    assert all(row["ms"] > 0 and row["median_ms"] >= row["ms"] for row in read["rows"])


def test_a_picture(trained, inferred, tmp_path):
    pytest.importorskip("matplotlib")
    for profile in (trained, inferred):
        figure = profile.plot(tmp_path / "roofline.png")
        assert (tmp_path / "roofline.png").read_bytes().startswith(b"\x89PNG")
        (axes,) = figure.axes
        assert axes.get_xscale() == axes.get_yscale() == "log"
        roof = axes.lines[0].get_xydata()
        assert roof[:, 1].max() == profile.roof.gflops
        assert roof[0, 1] / roof[0, 0] == pytest.approx(profile.roof.gbs)
        legend = {text.get_text() for text in axes.get_legend().get_texts()}
        assert {"forward", "convolution, linear"} <= legend
        assert ("weight gradient" in legend) == profile.training


def test_points_of_the_picture():
    part = Row(
        "a", "Conv2d", "backward", "weight", 1.0, 1.0, Work(4e6, 1e6, 10**6), "compute", ("conv2d_backward",), (), {}
    )
    whole = Row(
        "a", "Conv2d", "backward", "", 2.0, 2.0, Work(4e6, 1e6, 10**6), "compute", ("conv2d_backward",) * 2, (), {}
    )
    tiny = Row("b", "ReLU", "forward", "", 1e-6, 1e-6, Work(1, 1, 8), "overhead", ("relu",), (), {})
    points = roofline._points(Profile(ROOF, "net", (1, 2, 2), 3, True, "auto", 10.0, [whole, part, tiny, ROW]))
    assert [(point.name, point.mark, point.kind) for point in points] == [
        ("a weight", "weight", "product"),
        ("a.b forward", "forward", "product"),
    ]
    assert (points[0].x, points[0].y, points[0].effective) == pytest.approx((1, 1, 4))


# ---------------------------------------------------------------- mistakes


def test_mistakes():
    model = net()
    with pytest.raises(ValueError, match=r"x must have shape \(N, 16, 8, 8\), got \(4, 3, 8, 8\)"):
        model.profile(np.ones((4, 3, 8, 8), np.float32))
    with pytest.raises(ValueError, match="profile: x: the arrays of a list must have one shape"):
        model.profile([np.zeros((16, 8, 8)), np.zeros((16, 8, 9))])
    with pytest.raises(ValueError, match=r"got \(0, 16, 8, 8\)"):
        model.profile(images(0))
    with backends.use_backend("reference"), pytest.raises(RuntimeError, match="'reference' is in use"):
        model.profile(images())


def test_a_profile_that_fails_changes_nothing(monkeypatch):
    model, before = net(), fn.get_conv_algorithm()
    state = {name: value.tobytes() for name, value in model.state_dict().items()}
    monkeypatch.setattr(fn.optim.SGD, "step", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.profile(images(), seconds=0)
    assert {name: value.tobytes() for name, value in model.state_dict().items()} == state
    assert fn.get_conv_algorithm() == before
