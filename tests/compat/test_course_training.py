"""The course's update rules and Solver: formulas, printed lines, the random stream, checkpoints."""

from __future__ import annotations

import pickle

import numpy as np
import oracle_optim
import pytest

from fastnet.compat.cs231n import optim
from fastnet.compat.cs231n.captioning_solver import CaptioningSolver
from fastnet.compat.cs231n.classifier_trainer import ClassifierTrainer
from fastnet.compat.cs231n.solver import Solver

RNG = np.random.default_rng(7)
normal = RNG.standard_normal


# ---------------------------------------------------------------- update rules


def test_sgd_moves_in_place():
    w, dw = normal((4, 5)), normal((4, 5))
    expected = w - 1e-2 * dw
    next_w, config = optim.sgd(w, dw)
    assert next_w is w and np.array_equal(w, expected) and config == {"learning_rate": 1e-2}


def test_momentum_gives_the_published_numbers():
    w = np.linspace(-0.4, 0.6, 20).reshape(4, 5)
    dw, v = np.linspace(-0.6, 0.4, 20).reshape(4, 5), np.linspace(0.6, 0.9, 20).reshape(4, 5)
    config = {"learning_rate": 1e-3, "velocity": v}
    before = w.copy()
    next_w, config = optim.sgd_momentum(w, dw, config)
    assert np.array_equal(w, before)
    published = [0.1406, 0.20738947, 0.27417895, 0.34096842, 0.40775789]
    np.testing.assert_allclose(next_w[0], published, atol=5e-9)
    published = [0.5406, 0.55475789, 0.56891579, 0.58307368, 0.59723158]
    np.testing.assert_allclose(config["velocity"][0], published, atol=5e-9)
    assert config["momentum"] == 0.9


def test_rmsprop_and_adam_against_the_oracle():
    start, gradients = normal((3, 4)), normal((4, 3, 4))
    zeros = np.zeros((3, 4))
    w, config = start, None
    for g in gradients:
        w, config = optim.rmsprop(w, g, config)
    expected, h = (array.astype(float) for array in oracle_optim.rmsprop(start, gradients, zeros, lr=1e-2))
    np.testing.assert_allclose(w, expected, rtol=1e-12)
    np.testing.assert_allclose(config.pop("cache"), h, rtol=1e-12)
    assert config == {"learning_rate": 1e-2, "decay_rate": 0.99, "epsilon": 1e-8}

    w, config = start, None
    for g in gradients:
        w, config = optim.adam(w, g, config)
    expected, m, v = (array.astype(float) for array in oracle_optim.adam(start, gradients, (zeros, zeros), lr=1e-3))
    np.testing.assert_allclose(w, expected, rtol=1e-12)
    np.testing.assert_allclose(config.pop("m"), m, rtol=1e-12)
    np.testing.assert_allclose(config.pop("v"), v, rtol=1e-12)
    assert config == {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "t": 4}


def test_adam_counts_before_it_corrects():
    """At t = 1 the corrections cancel 1 - beta exactly: the first step is the learning rate, whatever the gradient."""
    w, config = optim.adam(np.zeros(3), np.array([1e-3, -2.0, 5.0]))
    np.testing.assert_allclose(w, [-1e-3, 1e-3, -1e-3], rtol=1e-4)
    assert config["t"] == 1


# ---------------------------------------------------------------- Solver


class Linear:
    """A minimal model for a Solver: scores = X @ W, squared distance to one-hot labels."""

    def __init__(self, classes=3, features=4):
        self.params = {"W": np.zeros((features, classes)), "b": np.zeros(classes)}

    def loss(self, X, y=None):
        scores = X @ self.params["W"] + self.params["b"]
        if y is None:
            return scores
        difference = scores - np.eye(scores.shape[1])[y]
        return np.mean(difference**2), {"W": X.T @ difference / len(X), "b": difference.mean(axis=0)}


def make_data(N=50, classes=3):
    rng = np.random.default_rng(3)
    y = rng.integers(classes, size=N)
    X = rng.standard_normal((N, 4)) + 2 * np.eye(classes, 4)[y]
    return {"X_train": X, "y_train": y, "X_val": X[:20], "y_val": y[:20]}


def accuracy(model, X, y):
    return float(np.mean(model.loss(X).argmax(axis=1) == y))


def test_solver_agrees_with_an_independent_loop(capsys):
    data = make_data()
    np.random.seed(11)
    solver = Solver(
        Linear(),
        data,
        update_rule="sgd_momentum",
        optim_config={"learning_rate": 0.1},
        lr_decay=0.5,
        batch_size=20,
        num_epochs=3,
        num_train_samples=30,
        num_val_samples=10,
        print_every=2,
    )
    solver.train()
    printed = capsys.readouterr().out.splitlines()
    after = np.random.rand()

    np.random.seed(11)
    model, velocity, lr, lines, losses, train, val = Linear(), {"W": 0, "b": 0}, 0.1, [], [], [], []
    best, best_accuracy, epoch = {}, 0, 0
    for t in range(6):  # 50 // 20 iterations an epoch
        chosen = np.random.choice(50, 20)
        loss, grads = model.loss(data["X_train"][chosen], data["y_train"][chosen])
        for name in ("W", "b"):
            velocity[name] = 0.9 * velocity[name] - lr * grads[name]
            model.params[name] = model.params[name] + velocity[name]
        losses.append(loss)
        if t % 2 == 0:
            lines.append(f"(Iteration {t + 1} / 6) loss: {loss:.6f}")
        if t % 2 == 1:
            epoch, lr = epoch + 1, lr * 0.5
        if t == 0 or t % 2 == 1:
            chosen = np.random.choice(50, 30)
            train.append(accuracy(model, data["X_train"][chosen], data["y_train"][chosen]))
            chosen = np.random.choice(20, 10)
            val.append(accuracy(model, data["X_val"][chosen], data["y_val"][chosen]))
            lines.append(f"(Epoch {epoch} / 3) train acc: {train[-1]:.6f}; val_acc: {val[-1]:.6f}")
            if val[-1] > best_accuracy:
                best_accuracy, best = val[-1], {name: w.copy() for name, w in model.params.items()}

    assert printed == lines
    assert solver.loss_history == losses
    assert solver.train_acc_history == train and solver.val_acc_history == val
    assert solver.best_val_acc == best_accuracy and solver.epoch == 3
    assert all(np.array_equal(solver.model.params[name], best[name]) for name in best)
    assert solver.optim_configs["W"]["learning_rate"] == 0.1 * 0.5**3
    assert np.random.rand() == after


def test_solver_draws_nothing_for_accuracies_of_all_examples():
    data = make_data()
    solver = Solver(Linear(), data, verbose=False)
    np.random.seed(1)
    assert solver.check_accuracy(data["X_val"], data["y_val"]) == accuracy(Linear(), data["X_val"], data["y_val"])
    solver.check_accuracy(data["X_val"], data["y_val"], num_samples=20, batch_size=3)
    following = np.random.rand()
    np.random.seed(1)
    assert following == np.random.rand()


def test_solver_asks_the_model_in_batches():
    sizes = []

    class Recording(Linear):
        def loss(self, X, y=None):
            sizes.append((len(X), y is None))
            return super().loss(X, y)

    solver = Solver(Recording(), make_data(), verbose=False)
    solver.check_accuracy(solver.X_train, solver.y_train, batch_size=20)
    assert sizes == [(20, True), (20, True), (10, True)]


def test_solvers_defaults():
    solver = Solver(Linear(), make_data())
    assert solver.update_rule is optim.sgd
    names = "lr_decay batch_size num_epochs num_train_samples num_val_samples checkpoint_name print_every verbose"
    values = [getattr(solver, name) for name in [*names.split(), "optim_config"]]
    assert values == [1.0, 100, 10, 1000, None, None, 10, True, {}]
    assert solver.optim_configs == {"W": {}, "b": {}} and solver.optim_configs["W"] is not solver.optim_configs["b"]
    assert (solver.epoch, solver.best_val_acc, solver.best_params, solver.loss_history) == (0, 0, {}, [])
    solver.optim_config["learning_rate"] = 1.0
    assert Solver(Linear(), make_data()).optim_config == {}


def test_solver_refuses_in_the_courses_words():
    with pytest.raises(ValueError, match='^Unrecognized arguments "epochs", "lr"$'):
        Solver(Linear(), make_data(), epochs=1, lr=2)
    with pytest.raises(ValueError, match='^Invalid update_rule "adamw"$'):
        Solver(Linear(), make_data(), update_rule="adamw")
    with pytest.raises(ValueError, match='^Invalid update_rule "np"$'):
        Solver(Linear(), make_data(), update_rule="np")


def test_a_model_with_zero_accuracy_ends_without_parameters():
    data = make_data()
    data["y_val"] = np.full(20, 99)
    solver = Solver(Linear(), data, num_epochs=1, batch_size=50, verbose=False)
    solver.train()
    assert solver.model.params == {} and solver.best_params == {}


def test_checkpoints(tmp_path, capsys):
    name = str(tmp_path / "net")
    solver = Solver(Linear(), make_data(), update_rule="adam", num_epochs=2, batch_size=25, checkpoint_name=name)
    solver.train()
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["net_epoch_0.pkl", "net_epoch_1.pkl", "net_epoch_2.pkl"]  # and no temporary files
    assert f'Saving checkpoint to "{name}_epoch_2.pkl"' in capsys.readouterr().out
    checkpoint = pickle.loads((tmp_path / "net_epoch_1.pkl").read_bytes())
    keys = "model update_rule lr_decay optim_config batch_size num_train_samples num_val_samples epoch"
    assert list(checkpoint) == [*keys.split(), "loss_history", "train_acc_history", "val_acc_history"]
    assert checkpoint["update_rule"] is optim.adam and checkpoint["epoch"] == 1
    assert checkpoint["loss_history"] == solver.loss_history[:2]
    assert checkpoint["val_acc_history"] == solver.val_acc_history[:2]
    assert set(checkpoint["model"].params) == {"W", "b"}


def test_histories_as_npz(tmp_path):
    solver = Solver(Linear(), make_data(), num_epochs=1, batch_size=25, verbose=False)
    solver.train()
    for given in ("histories", "histories.npz"):
        solver.record_histories_as_npz(tmp_path / given)
        with np.load(tmp_path / "histories.npz") as file:
            assert sorted(file.files) == ["train_accs", "train_losses", "val_accs"]
            assert file["train_losses"].tolist() == solver.loss_history
            assert file["val_accs"].tolist() == solver.val_acc_history
    assert [path.name for path in tmp_path.iterdir()] == ["histories.npz"]


# ---------------------------------------------------------------- 2015, assignment 3


def plain_loss(X, model, y=None, reg=0.0):
    net = Linear()
    net.params = model
    return net.loss(X, y)


@pytest.mark.parametrize("update, momentum, rate", [("sgd", 0, 0.3), ("momentum", 0.9, 0.05), ("rmsprop", 0, 0.02)])
def test_classifier_trainer(update, momentum, rate, capsys):
    data = make_data()
    X, y = data["X_train"], data["y_train"]
    model = Linear().params
    np.random.seed(5)
    arguments = {"learning_rate": rate, "momentum": momentum, "num_epochs": 20, "batch_size": 10, "verbose": True}
    best, losses, train, val = ClassifierTrainer().train(
        X, y, data["X_val"], data["y_val"], model, plain_loss, update=update, **arguments
    )
    assert len(losses) == 100 and len(train) == len(val) == 21
    assert np.mean(losses[-5:]) < losses[0] / 2 and accuracy_of(best, data) == max(val) >= 0.9
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"validation accuracy: {max(val):f}")
    np.random.seed(5)
    first = np.random.choice(50, 10)
    assert losses[0] == plain_loss(X[first], Linear().params, y[first])[0]


def accuracy_of(params, data):
    return np.mean(plain_loss(data["X_val"], params).argmax(axis=1) == data["y_val"])


def test_classifier_trainer_without_batches_and_with_frequent_checks():
    data = make_data()
    model, steps = Linear().params, 5
    arguments = data["X_train"], data["y_train"], data["X_val"], data["y_val"], model, plain_loss
    _, losses, train, _ = ClassifierTrainer().train(
        *arguments, update="sgd", learning_rate=0.1, learning_rate_decay=1, sample_batches=False, num_epochs=steps
    )
    params = Linear().params
    for loss in losses:  # gradient descent on the whole of X
        expected, grads = plain_loss(data["X_train"], params, data["y_train"])
        assert loss == expected
        params = {name: params[name] - 0.1 * grads[name] for name in params}
    assert len(train) == steps
    _, _, train, _ = ClassifierTrainer().train(*arguments, num_epochs=1, batch_size=10, acc_frequency=2)
    assert len(train) == 3  # iterations 0, 2, and 4, which is the end
    with pytest.raises(ValueError, match='Unrecognized update type "adam"'):
        ClassifierTrainer().train(*arguments, update="adam")


def test_captioning_solver_draws_prints_and_steps(capsys):
    seen = []

    class Model:
        def __init__(self):
            self.params = {"w": np.zeros(2)}

        def loss(self, features, captions):
            seen.append((features.copy(), captions.copy()))
            return float(captions.sum()), {"w": np.ones(2)}

    data = {
        "train_captions": np.arange(30).reshape(10, 3),
        "train_image_idxs": np.arange(10) // 2,
        "train_features": np.arange(10.0).reshape(5, 2),
        "train_urls": np.array([f"url{i}" for i in range(5)]),
    }
    np.random.seed(2)
    settings = {"optim_config": {"learning_rate": 1.0}, "lr_decay": 0.5, "batch_size": 4, "num_epochs": 2}
    solver = CaptioningSolver(Model(), data, print_every=3, **settings)
    solver.train()
    np.random.seed(2)
    for features, captions in seen:
        chosen = np.random.choice(10, 4)
        assert np.array_equal(captions, data["train_captions"][chosen])
        assert np.array_equal(features, data["train_features"][chosen // 2])
    losses = [float(captions.sum()) for _, captions in seen]
    assert len(seen) == 4 and solver.loss_history == losses and solver.epoch == 2
    assert solver.model.params["w"].tolist() == [-3.0, -3.0]  # 2 steps of size 1, 2 of size 0.5
    lines = [f"(Iteration {t + 1} / 4) loss: {losses[t]:f}" for t in (0, 3)]
    assert capsys.readouterr().out.splitlines() == lines
    with pytest.raises(ValueError, match='Unrecognized arguments "num_train_samples"'):
        CaptioningSolver(Model(), data, num_train_samples=3)
