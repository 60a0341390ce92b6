"""Masks by magnitude, kept during training, saved and resumed; lottery tickets are rewound."""

from __future__ import annotations

import numpy as np
import pytest

import fastnet as fn
from fastnet.training import Masks, find_ticket

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(96, 1, 6, 6)).astype(np.float32), RANDOM.integers(0, 3, 96)


def net(seed=0):
    layers = [fn.Conv2d(4, 3), fn.BatchNorm2d(), fn.ReLU(), fn.Flatten(), fn.Linear(8), fn.ReLU(), fn.Linear(3)]
    model = fn.Sequential(*layers)
    model.build((1, 6, 6), seed)
    return model


def solver(model, masks, **options):
    return fn.Solver(model, (X, Y), batch_size=32, callbacks=[masks], verbose=False, **options)


def test_only_weights_are_pruned():
    assert list(Masks.of(net()).arrays) == ["0.weight", "4.weight", "6.weight"]
    assert Masks.of(net()).remaining == 1


def test_the_smallest_of_each_layer_go():
    model = net()
    masks = Masks.of(model).prune(model, 0.25)
    for name, mask in masks.arrays.items():
        size = np.abs(dict(model.named_parameters())[name].value)
        assert (~mask).sum() == round(mask.size / 4)
        assert size[~mask].max() <= size[mask].min()
    again = masks.prune(model, 0.5)
    for name, mask in again.arrays.items():
        assert not (mask & ~masks.arrays[name]).any(), "what is gone stays gone"
        assert mask.sum() == masks.arrays[name].sum() - round(masks.arrays[name].sum() / 2)


def test_the_smallest_of_all_layers_go():
    model = net()
    model.parameters()[0].value[...] = RANDOM.permutation(36).reshape(4, 1, 3, 3) * 1e-6 + 1e-6
    masks = Masks.of(model).prune(model, 0.1, "global")
    total = sum(mask.size for mask in masks.arrays.values())
    assert sum(int((~mask).sum()) for mask in masks.arrays.values()) == round(total / 10)
    assert not masks.arrays["0.weight"].any() and masks.arrays["6.weight"].mean() > 0.9


def test_of_equal_weights_the_first_go():
    model = net()
    for parameter in model.parameters():
        parameter.value[...] = 1
    mask = Masks.of(model).prune(model, 0.5).arrays["6.weight"]
    assert not mask.ravel()[:12].any() and mask.ravel()[12:].all()


@pytest.mark.parametrize("optimizer", [fn.optim.SGD(0.1, 0.9, weight_decay=1e-3), fn.optim.Adam(1e-2)], ids=repr)
def test_pruned_weights_stay_zero_and_the_others_learn(optimizer):
    model = net()
    before, masks = model.state_dict(), Masks.of(model).prune(model, 0.6)
    seen = []

    class Watch(fn.training.Callback):
        def on_iteration_end(self, solver):
            values = dict(solver.model.named_parameters())
            seen.extend(np.abs(values[name].value[~mask]).max() for name, mask in masks.arrays.items())

    fn.Solver(model, (X, Y), optimizer=optimizer, epochs=2, callbacks=[masks, Watch()], verbose=False).train()
    assert len(seen) == 2 * 3 and set(seen) == {0}
    after = model.state_dict()
    for name, mask in masks.arrays.items():
        assert (after[name][mask] != before[name][mask]).mean() > 0.5  # some ReLUs are dead


def test_masks_are_saved(tmp_path):
    model = net()
    masks = Masks.of(model).prune(model, 0.3)
    masks.save(tmp_path / "masks.npz")
    loaded = Masks.load(tmp_path / "masks.npz")
    for name, mask in masks.arrays.items():
        np.testing.assert_array_equal(loaded.arrays[name], mask)
    assert loaded.remaining == masks.remaining and "kept)" in repr(loaded)


def test_a_resumed_run_has_the_masks_and_the_bits(tmp_path):
    models = [net(), net(), net()]
    masks = Masks.of(models[0]).prune(models[0], 0.5)
    solver(models[0], Masks(masks.arrays), epochs=4).train()
    solver(models[1], Masks(masks.arrays), epochs=2, checkpoint=tmp_path).train()
    resumed = Masks.of(models[2])
    solver(models[2], resumed, epochs=4, checkpoint=tmp_path).train(resume="auto")
    assert resumed.remaining == masks.remaining
    for name, value in models[0].state_dict().items():
        np.testing.assert_array_equal(models[2].state_dict()[name], value)


def test_a_ticket_is_rewound():
    model = net()
    start = model.state_dict()

    def train(model, masks):
        return solver(model, masks, epochs=1).train().losses[-1]

    ticket = find_ticket(model, train, rounds=3, fraction=0.5)
    assert [round(left, 2) for left, _ in ticket.rounds] == [1.0, 0.5, 0.25]
    assert ticket.masks.remaining == pytest.approx(0.125, abs=0.01)

    def is_ticket():
        for name, value in model.state_dict().items():
            mask = ticket.masks.arrays.get(name, True)
            np.testing.assert_array_equal(value, np.where(mask, start[name], 0))

    is_ticket()
    train(model, ticket.masks)
    ticket.rewind(model)
    is_ticket()


def test_what_cannot_be_is_refused():
    model = net()
    masks = Masks.of(model)
    with pytest.raises(ValueError, match=r"fraction must lie in \[0, 1\), got 1.0"):
        masks.prune(model, 1)
    with pytest.raises(ValueError, match="scope must be"):
        masks.prune(model, 0.5, "all")
    with pytest.raises(ValueError, match="there is a mask for 7.weight, .* the model has no such parameter"):
        Masks({"7.weight": np.ones((2, 2), bool)}).apply(model)
    with pytest.raises(ValueError, match=r"the model has it in shape \(3, 8\)"):
        Masks({"6.weight": np.ones((2, 2), bool)}).apply(model)
    with pytest.raises(ValueError, match="must be True or False everywhere"):
        Masks({"6.weight": np.full((3, 8), 0.5)})
    model.parameters()[0].value[0] = np.nan
    with pytest.raises(ValueError, match="weights that are not finite"):
        masks.prune(model, 0.5)
    with pytest.raises(ValueError, match="rounds must be an integer between 1"):
        find_ticket(net(), lambda model, masks: None, rounds=0)
