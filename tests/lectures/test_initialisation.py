"""The parts of the experiments on initialisation, babysitting and gradient checks."""

from argparse import Namespace

import numpy as np
import pytest

from fastnet.cli import main
from fastnet.lectures import babysit, gates, gradient_check, normalize, xavier_proof
from fastnet.lectures.init import Net
from fastnet.lectures.report import Report


def test_theory_of_relu_is_exact():
    """Half of the second moment is left, and the mean is sqrt(variance / 2 pi)."""
    stds = Net("relu", "kaiming").theory()
    np.testing.assert_allclose(stds, (1 - 1 / np.pi) ** 0.5, rtol=0.005)  # 200 nodes, and a kink
    assert Net("relu", "xavier").theory()[3] / stds[3] == pytest.approx(2**-2, rel=0.01)


def test_theory_of_tanh_is_that_of_a_wide_network():
    net = Net("tanh", "0.05", 4, 2000)
    rng = np.random.default_rng(0)
    layers = net.activations(rng.standard_normal((50, 2000), dtype=np.float32), rng)
    np.testing.assert_allclose([h.std() for h in layers], net.theory(), rtol=0.02)


@pytest.mark.parametrize("words", [["--std", "0.01"], ["--act", "relu", "--std", "kaiming"], ["--std", "large"]])
def test_one_network_by_options(words, tmp_path, capsys):
    assert main(["lecture", "init", *words, "--out", str(tmp_path)]) == 0
    assert "10 layers of 500" in capsys.readouterr().out


@pytest.mark.parametrize("std", ["huge", "0", "-1", "nan", "inf"])
def test_options_that_do_not_fit(std, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["lecture", "init", "--std", std, "--out", str(tmp_path)])
    assert f"--std: expected a number > 0, xavier, kaiming or large, got {std!r}" in capsys.readouterr().err


def test_small_images_become_those_of_the_lecture():
    images = np.arange(2 * 64).reshape(2, 1, 8, 8)
    large = babysit.enlarged(images)
    assert large.shape == (2, 3, 32, 32) and large.dtype == np.float32
    np.testing.assert_array_equal(large[:, 1, ::4, ::4], images[:, 0])
    assert babysit.enlarged(np.zeros((2, 3, 30, 32))).shape == (2, 3, 30, 32)


def test_the_classifier_is_at_its_minimum():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((100, 2)) + 3, np.arange(100) % 2
    weights, bias = normalize.fit(x + 2 * y[:, None], y)
    p = 1 / (1 + np.exp(-(x + 2 * y[:, None]) @ weights - bias))
    gradient = (x + 2 * y[:, None]).T @ (p - y) / 100 + 1e-3 * weights
    assert abs(gradient).max() < 1e-9


def test_errors_of_differences():
    centred, one_sided = (gradient_check.largest_error(scheme, 1e-4, 0) for scheme in ("centred", "one-sided"))
    assert centred < 1e-5 < 1e-3 < one_sided
    assert xavier_proof.relu_share(np.random.default_rng(0)) == pytest.approx(0.5, abs=0.01)


def test_gates_agree_with_differences_for_all_seeds(tmp_path):
    """Near a pole or a kink differences are wrong, however right the gradients are."""
    for seed in range(30):
        report = Report("gates", Namespace(full=False, seed=seed), tmp_path, show=lambda line: None)
        gates._gates(report)
        assert report.passed, f"seed {seed}: {report.rows}"
