"""fastnet's models in the course's Solver and the course's models in fastnet's give the same results."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import fastnet as fn
from fastnet import compat
from fastnet.compat.cs231n import optim
from fastnet.compat.cs231n.classifiers.cnn import ThreeLayerConvNet
from fastnet.compat.cs231n.classifiers.fc_net import FullyConnectedNet
from fastnet.compat.cs231n.solver import Solver

SHAPE = (3, 8, 8)


def make_data(dtype=np.float64, N=48):
    rng = np.random.default_rng(1)
    y = rng.integers(4, size=N)
    X = rng.standard_normal((N, *SHAPE)).astype(dtype)
    X[np.arange(N), 0, 0, y] += 6
    return {"X_train": X, "y_train": y, "X_val": X[:16], "y_val": y[:16]}


def course_net(dtype=np.float64, reg=0.01):
    np.random.seed(1)
    return ThreeLayerConvNet(
        SHAPE, num_filters=4, filter_size=3, hidden_dim=10, num_classes=4, weight_scale=0.05, reg=reg, dtype=dtype
    )


def fastnet_net(dtype="float64"):
    model = fn.Sequential(
        conv=fn.Conv2d(4, 3, padding=1),
        _r=fn.ReLU(),
        _p=fn.MaxPool2d(2),
        _f=fn.Flatten(),
        fc1=fn.Linear(10),
        _s=fn.ReLU(),
        fc2=fn.Linear(4),
    )
    model.build(SHAPE, seed=3, dtype=dtype)
    return model


NAMES = {
    "W1": "conv.weight",
    "b1": "conv.bias",
    "W2": "fc1.weight",
    "b2": "fc1.bias",
    "W3": "fc2.weight",
    "b3": "fc2.bias",
}


def turned(name, array):
    """The course stores weights as (in, out), fastnet as (out, in)."""
    return array.T if name in ("W2", "W3") else array


# ---------------------------------------------------------------- fastnet in the course's Solver


def test_the_same_net_has_the_same_loss_and_gradients():
    data, theirs, model = make_data(), course_net(), fastnet_net()
    model.load_state_dict({NAMES[name]: turned(name, value) for name, value in theirs.params.items()})
    ours = compat.as_course_model(model, reg=0.01)
    X, y = data["X_train"], data["y_train"]
    np.testing.assert_allclose(ours.loss(X), theirs.loss(X), rtol=1e-12, atol=1e-14)
    (loss, grads), (expected, expected_grads) = ours.loss(X, y), theirs.loss(X, y)
    assert np.isclose(loss, expected, rtol=1e-13) and set(ours.params) == set(grads) == set(NAMES.values())
    for name, gradient in expected_grads.items():
        np.testing.assert_allclose(turned(name, grads[NAMES[name]]), gradient, rtol=1e-9, atol=1e-13, err_msg=name)


def test_both_nets_train_alike_in_the_courses_solver():
    data, theirs, model = make_data(), course_net(), fastnet_net()
    model.load_state_dict({NAMES[name]: turned(name, value) for name, value in theirs.params.items()})
    histories = []
    for net in (theirs, compat.as_course_model(model, reg=0.01)):
        np.random.seed(5)
        settings = {"optim_config": {"learning_rate": 0.1}, "lr_decay": 0.9, "batch_size": 12, "num_epochs": 4}
        solver = Solver(net, data, update_rule="sgd_momentum", verbose=False, **settings)
        solver.train()
        histories.append((solver.loss_history, solver.val_acc_history))
    np.testing.assert_allclose(histories[0][0], histories[1][0], rtol=1e-8)
    assert histories[0][1] == histories[1][1]
    for name, value in theirs.params.items():
        np.testing.assert_allclose(turned(name, model.state_dict()[NAMES[name]]), value, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_the_courses_solver_updates_fastnets_arrays_bit_for_bit(rule):
    """A loop with fastnet's own forward and backward passes and the course's rule gives the same bits."""
    data = make_data()
    np.random.seed(2)
    solver = Solver(
        compat.as_course_model(fastnet_net()), data, update_rule=rule, batch_size=12, num_epochs=2, verbose=False
    )
    for _ in range(6):
        solver._step()
    model, configs = fastnet_net(), {}
    np.random.seed(2)
    for t in range(6):
        batch = np.random.choice(48, 12)
        model.zero_grad()
        scores, backward = model.forward(data["X_train"][batch], training=True)
        loss, dscores = fn.losses.softmax_cross_entropy(scores, data["y_train"][batch])
        backward(dscores)
        assert solver.loss_history[t] == loss
        for p in model.parameters():
            p.value[...], configs[p.name] = getattr(optim, rule)(p.value, p.grad, configs.get(p.name))
    for name, value in model.state_dict().items():
        assert np.array_equal(value, solver.model.model.state_dict()[name]), name


def test_the_best_weights_come_back():
    data, model = make_data(np.float32), fastnet_net("float32")
    net = compat.as_course_model(model)
    np.random.seed(3)
    settings = {"optim_config": {"learning_rate": 0.03}, "batch_size": 12, "num_epochs": 6}
    solver = Solver(net, data, update_rule="adam", verbose=False, **settings)
    solver.train()
    assert solver.best_val_acc == max(solver.val_acc_history) > 0.8
    for name, value in model.state_dict().items():
        assert value.dtype == np.float32 and np.array_equal(value, solver.best_params[name]), name
    assert np.mean(model.predict(data["X_val"]).argmax(1) == data["y_val"]) == solver.best_val_acc


def test_batches_in_float64_are_cast_without_a_warning(recwarn):
    net = compat.as_course_model(fastnet_net("float32"))
    loss, grads = net.loss(make_data()["X_train"], make_data()["y_train"])
    assert not recwarn.list and all(grad.dtype == np.float32 for grad in grads.values())


def test_params_are_the_models_own_arrays():
    model = fastnet_net()
    net = compat.as_course_model(model)
    assert net.params["fc2.bias"] is dict(model.named_parameters())["fc2.bias"].value
    net.params["fc2.bias"] = np.arange(4)
    assert model.state_dict()["fc2.bias"].tolist() == [0, 1, 2, 3]
    assert net.params["fc2.bias"].dtype == np.float64
    net.params["fc2.bias"] += 1
    assert model.state_dict()["fc2.bias"].tolist() == [1, 2, 3, 4]
    with pytest.raises(ValueError, match=r"params\['fc2.bias'\] must have shape \(4,\), got \(3,\)"):
        net.params["fc2.bias"] = np.zeros(3)
    with pytest.raises(KeyError):
        net.params["other"] = np.zeros(3)
    with pytest.raises(TypeError, match="cannot be deleted"):
        del net.params["fc2.bias"]
    with pytest.raises(KeyError, match="params must be a dict of"):
        net.params = {"fc2.bias": np.zeros(4)}
    with pytest.warns(UserWarning, match="keeps its weights"):
        net.params = {}
    assert len(net.params) == 6


def test_batch_norm_and_frozen_parameters():
    model = fn.Sequential(fn.Conv2d(4, 3), fn.BatchNorm2d(), fn.ReLU(), fn.Dropout(0.5), fn.Flatten(), fn.Linear(4))
    model.build(SHAPE, dtype="float64")
    model.freeze("0.bias")
    net, data = compat.as_course_model(model, loss="svm"), make_data()
    assert set(net.params) == {"0.weight", "1.weight", "1.bias", "5.weight", "5.bias"}
    before = model.state_dict()["1.running_mean"]
    net.loss(data["X_train"])
    assert np.array_equal(net.loss(data["X_train"]), net.loss(data["X_train"]))  # dropout is off
    assert np.array_equal(model.state_dict()["1.running_mean"], before)
    loss, grads = net.loss(data["X_train"], data["y_train"])
    assert set(grads) == set(net.params) and not np.array_equal(model.state_dict()["1.running_mean"], before)
    assert loss > 1  # the hinge loss of 4 classes starts at about 3


def test_a_model_must_be_built():
    with pytest.raises(RuntimeError, match="is not built"):
        compat.as_course_model(fn.Sequential(fn.Linear(3)))


def test_other_objects_are_refused():
    with pytest.raises(TypeError, match="must be a fastnet layer such as Sequential, got int"):
        compat.as_course_model(3)
    for params in ({}, None):
        with pytest.raises(TypeError, match="has params, a non-empty dict, and loss"):
            compat.from_course_model(type("Net", (), {"params": params, "loss": lambda X, y=None: X})())
    with pytest.raises(TypeError, match="type does not"):
        compat.from_course_model(type("Net", (), {"params": {"W": 1}}))


def test_checkpoints_of_the_courses_solver_hold_the_model(tmp_path):
    data, model = make_data(), fastnet_net()
    net = compat.as_course_model(model)
    settings = {"update_rule": "adam", "optim_config": {"learning_rate": 0.02}, "num_epochs": 1, "batch_size": 8}
    solver = Solver(net, data, checkpoint_name=str(tmp_path / "net"), verbose=False, **settings)
    solver.train()
    checkpoint = pickle.loads((tmp_path / "net_epoch_1.pkl").read_bytes())
    back = checkpoint["model"]
    back.params["fc2.bias"] = np.full(4, 7.0)
    assert np.array_equal(back.model.state_dict()["fc2.bias"], np.full(4, 7.0))  # still one array
    assert back.loss(data["X_val"]).shape == (16, 4)


# ---------------------------------------------------------------- a course model in fastnet's Solver


def batches(data, epochs, size):
    loader = fn.data.Loader(data["X_train"], data["y_train"], size, seed=0, dtype="float64")
    return [(x, y) for epoch in range(epochs) for x, y in loader.batches(epoch)]


def test_fastnets_solver_trains_a_course_model_bit_for_bit():
    """A plain loop over the same batches gives the same losses and weights.

    The learning rate is a power of two, so rate * gradient is exact, and it does not matter whether multiplication and
    subtraction are fused."""
    data, net, twin = make_data(), course_net(), course_net()
    model = compat.from_course_model(net)
    solver = fn.Solver(
        model,
        (data["X_train"], data["y_train"]),
        (data["X_val"], data["y_val"]),
        loss=model.loss,
        optimizer=fn.optim.SGD(2**-3),
        batch_size=12,
        epochs=2,
        verbose=False,
    )
    history = solver.train()
    for t, (x, y) in enumerate(batches(data, 2, 12)):
        loss, grads = twin.loss(x, y)
        assert history.losses[t] == loss
        for name in twin.params:
            twin.params[name] -= 2**-3 * grads[name]
    for name, value in twin.params.items():
        assert np.array_equal(net.params[name], value), name
        assert np.array_equal(model.state_dict()[name], value), name
    scores = twin.loss(data["X_val"])
    expected = fn.losses.softmax_cross_entropy(scores, data["y_val"])[0]
    record = history.rows()[-1]
    assert np.isclose(record["val_loss"], expected, rtol=1e-12)
    assert record["val_accuracy"] == np.mean(scores.argmax(1) == data["y_val"])


def test_a_course_model_learns_with_fastnets_adam():
    data, net = make_data(np.float32), course_net(np.float32)
    model = compat.from_course_model(net)
    solver = fn.Solver(
        model,
        (data["X_train"], data["y_train"]),
        loss=model.loss,
        optimizer=fn.optim.Adam(1e-2),
        batch_size=12,
        epochs=15,
        verbose=False,
    )
    solver.train()
    assert solver.evaluate(data["X_val"], data["y_val"]).accuracy > 0.9
    assert np.array_equal(model.predict(data["X_val"]), net.loss(data["X_val"]))


def test_running_averages_and_dropout_of_course_models_move_once_a_step():
    np.random.seed(0)
    net = FullyConnectedNet([10], 192, 4, normalization="batchnorm", dropout_keep_ratio=0.5, dtype=np.float64)
    calls, plain = [], net.loss
    net.loss = lambda X, y=None: (calls.append(y is None), plain(X, y))[1]
    data, model = make_data(), compat.from_course_model(net)
    fn.Solver(
        model,
        (data["X_train"], data["y_train"]),
        (data["X_val"], data["y_val"]),
        loss=model.loss,
        batch_size=12,
        epochs=1,
        verbose=False,
    ).train()
    assert calls.count(False) == 4  # one training step each; validation uses test mode


def test_only_the_scores_of_the_last_training_batch_have_the_course_models_own_loss():
    data, net = make_data(), course_net(reg=5.0)
    model, X, y = compat.from_course_model(net), data["X_train"], data["y_train"]
    of_data, with_penalty = fn.losses.softmax_cross_entropy(net.loss(X), y)[0], net.loss(X, y)[0]
    assert with_penalty > of_data + 0.01
    scores, backward = model.forward(X, training=True)
    assert model.loss(scores.copy(), y)[0] == of_data
    with pytest.raises(RuntimeError, match="pass loss=model.loss to the Solver"):
        backward(scores, input_gradient=False)
    scores, backward = model.forward(X, training=True)
    assert model.loss(scores, y)[0] == with_penalty and model.loss(scores, y)[0] == of_data
    backward(scores, input_gradient=False)
    assert np.array_equal(dict(model.named_parameters())["W2"].grad, net.loss(X, y)[1]["W2"])
    scores, _ = model.forward(X)
    assert model.loss(scores, y)[0] == of_data


def test_arrays_assigned_to_a_course_model_are_used():
    net = course_net()
    model = compat.from_course_model(net)
    model.build(SHAPE)
    assert model.output_shape == (4,) and dict(model.named_parameters())["W1"].decay
    assert not dict(model.named_parameters())["b1"].decay
    net.params["b3"] = np.array([0.0, 0.0, 9.0, 0.0], np.float32)
    assert model.predict(make_data()["X_val"]).argmax(1).tolist() == [2] * 16
    assert model.state_dict()["b3"].tolist() == [0, 0, 9, 0] and net.params["b3"].dtype == np.float64
    model.load_state_dict({**model.state_dict(), "b3": np.array([9.0, 0, 0, 0])})
    assert net.loss(make_data()["X_val"]).argmax(1).tolist() == [0] * 16
    net.params["b3"] = np.zeros(3)
    with pytest.raises(ValueError, match=r"params\['b3'\] had shape \(4,\), now it is \(3,\)"):
        model.predict(make_data()["X_val"])


def test_limits_of_course_models_raise_errors():
    data = make_data()
    pair = data["X_train"], data["y_train"]
    with pytest.raises(RuntimeError, match="pass loss=model.loss to the Solver"):
        fn.Solver(compat.from_course_model(course_net()), pair, verbose=False).train()
    model = fn.Sequential(fn.ReLU(), fn.Conv2d(3, 1), compat.from_course_model(course_net(np.float32)))
    with pytest.raises(RuntimeError, match="it can only be the whole model"):
        fn.Solver(model, pair, loss=model[2].loss, verbose=False).train()
    with pytest.raises(ValueError, match="the course's model is float64; it cannot be built as float32"):
        compat.from_course_model(course_net()).build(SHAPE, dtype="float32")
