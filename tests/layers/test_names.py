"""Names in state dicts that other software writes: prefixes and wrappers are found and said."""

import re

import numpy as np
import pytest

from fastnet.layers import BatchNorm2d, Conv2d, Flatten, GlobalAvgPool2d, Linear, Sequential


def net(seed=0):
    model = Sequential(
        body=Sequential(Conv2d(4, 3), BatchNorm2d()), pool=GlobalAvgPool2d(), flat=Flatten(), head=Linear(3)
    )
    model.build((2, 5, 5), seed=seed)
    return model


def refused(state, words, strict=True):
    model = net()
    before = model.state_dict()
    with pytest.raises(KeyError, match=words):
        model.load_state_dict(state, strict)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    "prefix",
    ["module.", "_orig_mod.", "model.", "net.", "module._orig_mod.", "_orig_mod.module.", "student.encoder.0."],
)
def test_a_prefix_is_found_and_can_be_stripped(prefix, strict):
    good = net(1).state_dict()
    state = {prefix + name: value for name, value in good.items()}
    more = {"n_averaged": np.array(3), f"{prefix}body.1.num_batches_tracked": np.array(3)}
    said = f'the state has all names of the model behind "{prefix}": strip it with prefix="{prefix}"'
    refused({**state, **more}, re.escape(said), strict)
    model = net()
    assert model.load_state_dict({**state, **more}, prefix=prefix) == ([], [])
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, good[name])


def test_a_prefix_beside_other_parts():
    """As in a checkpoint of Lightning: the model's weights beside those of the loss and of a teacher."""
    good = net(1).state_dict()
    state = {f"model.{name}": value for name, value in good.items()}
    state |= {f"teacher.{name}": value * 2 for name, value in good.items() if "running" not in name}
    refused(state, 'has all names of the model behind "model.": strip it with prefix="model."')
    model = net()
    model.load_state_dict(state, prefix="model.")
    np.testing.assert_array_equal(model["head"].weight.value, good["head.weight"])
    with pytest.raises(KeyError, match=r"no name begins with 'modle.'; names like model\."):
        model.load_state_dict(state, prefix="modle.")
    deeper = {f"module.{name}": value for name, value in state.items()}
    with pytest.raises(KeyError, match=r'strip it with prefix="module\.model\."'):
        model.load_state_dict(deeper, prefix="module.")


def test_a_part_of_the_model():
    """Weights of the body alone."""
    body = net(1)["body"].state_dict()
    said = 'the names of the model begin with "body.", those of the state do not'
    refused(body, said)
    refused(body, said, strict=False)
    state = {"body." + name: array for name, array in body.items()}
    model = net()
    assert model.load_state_dict(state, strict=False).missing == ["head.weight", "head.bias"]
    np.testing.assert_array_equal(model["body"]["0"].weight.value, body["0.weight"])


@pytest.mark.parametrize("wrapper", ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"])
def test_wrappers_inside_names(wrapper):
    state = {name.replace("body.", f"body.{wrapper}."): value for name, value in net(1).state_dict().items()}
    refused(state, f'"{wrapper}." inside the names .*name.replace')
    state = {name.replace(f"{wrapper}.", ""): array for name, array in state.items()}
    assert net().load_state_dict(state) == ([], [])


@pytest.mark.parametrize(
    "renamed, words",
    [
        ({"head.weight": ["head.weight_g", "head.weight_v"]}, "remove_weight_norm"),
        ({"head.weight": ["head.parametrizations.weight.original0"]}, "remove_weight_norm"),
        ({"head.weight": ["head.weight_orig", "head.weight_mask"]}, "prune.remove"),
        ({"head.weight": ["head._packed_params._packed_params"]}, "before quantising"),
        ({"head.weight": ["head/kernel:0"]}, r"Keras: its kernels are \(R, S, C, K\)"),
    ],
)
def test_other_forms_of_the_same_weights(renamed, words):
    state = net(1).state_dict()
    for old, new in renamed.items():
        value = state.pop(old)
        state |= dict.fromkeys(new, value)
    refused(state, words)


def test_a_checkpoint_in_place_of_its_weights():
    state = {f"module.{name}": value for name, value in net(1).state_dict().items()}
    refused({"epoch": 3, "state_dict": state}, r'the weights are inside "state_dict": load state\["state_dict"\]')
    refused({"epoch": 3, "state_dict": state}, "the weights are inside", strict=False)


def test_other_separators():
    state = {f"params/{name}": value for name, value in net(1).state_dict().items()}
    refused(state, 'behind "params/": strip it with prefix="params/"')
    assert net().load_state_dict(state, prefix="params/") == ([], [])


def test_arrays_without_names(tmp_path):
    np.savez(tmp_path / "a.npz", *net(1).state_dict().values())
    with pytest.raises(KeyError, match=r"numpy.savez\(path, \*arrays\): save them with names"):
        net().load(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "name, axes, order", [("head.weight", (1, 0), "in, out"), ("body.0.weight", (2, 3, 1, 0), "R, S, C, K")]
)
def test_the_order_of_axes_in_keras(name, axes, order):
    """Its kernels, and how to turn them back."""
    good = net(1).state_dict()
    state = {**good, name: good[name].transpose(axes)}
    with pytest.raises(ValueError, match=rf"the state's order is \({order}\), as Keras has it: transpose\(") as caught:
        net().load_state_dict(state)
    back = tuple(int(axis) for axis in re.findall(r"\d", str(caught.value).rpartition("transpose")[2]))
    model = net()
    model.load_state_dict({**state, name: state[name].transpose(back)})
    np.testing.assert_array_equal(model.state_dict()[name], good[name])
    with pytest.raises(ValueError, match=r"in the state$"):
        net().load_state_dict({**good, name: np.zeros((7, 7), np.float32)})


def test_loading_nothing_is_an_error():
    refused({}, "no name matches; missing from the state: body.0.weight", strict=False)
    refused({"a": np.zeros(1)}, "no name matches", strict=False)
    bare = Sequential(Flatten())
    bare.build((2,))
    assert bare.load_state_dict({}) == ([], [])  # a model without parameters needs none
