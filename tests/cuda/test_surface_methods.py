"""Further methods of training on the backend "cupy": averages, pruning, distillation, curvature, own losses."""

from __future__ import annotations

import numpy as np
from cuda.surface import IMAGES, X, Y, network, same
from cuda.test_surface_training import DATA, run, solver

import fastnet as fn
from fastnet import backends, training
from fastnet.training import Masks


def test_averages_of_weights():
    def found():
        callbacks = [
            training.PolyakAverage(0.5, update_bn=True),
            training.StochasticWeightAverage(0),
            training.Snapshots("epoch"),
            training.BestSnapshot("loss"),
        ]
        result = run(callbacks=callbacks, validation=DATA, epochs=2)
        states = callbacks[2].states
        model = network()
        model.load_state_dict(training.average_states(states))
        training.update_bn(model, IMAGES)
        return [result, states, model.state_dict(), callbacks[1].average.state_dict()]

    same(found, 1e-3)


def test_an_average_moves_with_its_model():
    with backends.use_backend("reference"):
        model = network()
        average = training.WeightAverage(model, 0.5)
        average.update()
        expected = average.state_dict()

    def found():
        average.update()
        return average.state_dict()

    for state in (same(found), average.state_dict()):
        assert state.keys() == expected.keys()


def test_pruned_weights_stay_zero():
    def found():
        model = network()
        masks = Masks.of(model).prune(model, 0.5)
        result = run(model=model, callbacks=[masks])
        return [masks.arrays, masks.prune(model, 0.5, "global").arrays, result]

    same(found)


def test_distillation():
    def found():
        teacher = network(0, seed=3)
        loader = training.DistillationLoader(*DATA, teacher=teacher, batch_size=8)
        made = fn.Solver(
            *(network(), loader, DATA),
            **{"loss": training.Distillation(3.0, 0.7), "optimizer": fn.optim.SGD(0.05), "epochs": 1, "verbose": False},
        )
        made.train()
        return [made.history.losses, made.history.history["val_loss"], made.model.state_dict()]

    same(found)


def test_methods_of_second_order():
    def found():
        model = fn.Sequential(fn.Flatten(), fn.Linear(2))
        model.build((1, 2, 2), seed=0, dtype="float64")
        x, y = IMAGES[:, :, :2, :2].astype(np.float64), np.arange(10.0).reshape(5, 2)
        objective = training.Objective(model, "mse", x, y, regularizer=fn.regularizers.L2(0.1))
        hessian = objective.hessian()
        minimum = training.minimize(model, "mse", x, y, "newton", iterations=1, regularizer=fn.regularizers.L2(0.1))
        return [hessian, minimum.losses, model.state_dict(), objective(objective.vector)]

    same(found, 1e-6)


def test_losses_of_ones_own_get_arrays_of_the_device(device):
    given = []

    def loss(scores, labels):
        xp = backends.current().xp
        given.append((type(scores), type(labels)))
        dscores = xp.zeros_like(scores)
        dscores[xp.arange(len(labels)), labels] = -1
        scores *= 0  # works in place, which the accuracy must not see
        return 1.0, dscores / len(labels)

    made = solver(loss=loss)
    made.train()
    assert set(given) == {(device.xp.ndarray, device.xp.ndarray)} and made.history.losses == [1.0, 1.0]


def test_auxiliary_heads_and_soft_labels():
    def heads():
        model = fn.AuxiliaryHeads(
            fn.Sequential(fn.Conv2d(2, 3), fn.ReLU(), fn.Flatten(), fn.Linear(3)),
            {"aux": ("1", fn.Sequential(fn.Flatten(), fn.Linear(3)))},
        )
        model.build((1, 6, 6), seed=0)
        return run(model=model)

    same(heads)
    same(lambda: run(augment=[fn.augment.MixUp(0.4)]))
    targets = np.stack([Y, Y + 1, Y * 2], axis=1)[:16].astype(np.float32)
    same(lambda: run(data=(X[:16], targets), loss="mse"))


def test_a_loop_of_ones_own():
    def found():
        model, optimizer = network(), fn.optim.SGD(0.1, 0.9, nesterov=True)
        plan, values = training.TrainingPlan(model), []
        for x, y in fn.data.Loader(IMAGES, Y[:5], 2):
            model.zero_grad()
            value, scores = plan(x, y)
            fn.optim.clip_grad_norm(model.parameters(), 0.5)
            fn.optim.clip_grad_value(model.parameters(), 0.1)
            optimizer.step(model.parameters())
            values.append(value)
        return [values, backends.current().to_numpy(scores), model.state_dict(), optimizer.state_dict()]

    same(found)
