"""Plans for inference: the same bits for any threads, instruction set and company."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from isas import ISAS, kernels, needs_kernels
from plan_nets import TOLERANCE, close, everything, images, trained

import fastnet as fn
from fastnet import models
from fastnet.diagnose.fingerprint import kernels_as


@needs_kernels
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_do_not_depend_on_threads_instruction_sets_or_company(dtype, threads):
    model = everything(dtype)
    x, found = images(model, 7), []
    for isa in [isa for isa in ISAS if isa != "portable"]:
        with kernels(isa, "auto"):
            for count in (1, 2, 3, 7):
                threads(count)
                plan = model.compile(4)
                found += [plan(x), np.concatenate([plan(x[:2]), plan(x[2:3]), plan(x[3:])])]
            threads(1)
            found.append(plan(x))  # made for 7 threads
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


@needs_kernels
@pytest.mark.parametrize("count", [1, 4])
def test_what_is_left_of_many_images_has_room(threads, count):
    """Fewer images may take another path through Winograd, which needs more scratch than before."""
    model = fn.Sequential(fn.Conv2d(64, 3, padding=1), fn.ReLU(), fn.Conv2d(64, 3, padding=1))
    model.build((64, 8, 8))
    with kernels(algorithm="auto"):  # and inaccessible pages beside the scratch
        threads(count)
        plan, x = model.compile(64), images(model, 80)
        np.testing.assert_array_equal(plan(x), np.concatenate([plan(x[:64]), plan(x[64:])]))


@needs_kernels
def test_two_python_threads_and_one_plan():
    model = trained(models.resnet20())
    plan, pieces = model.compile(8), [images(model, 3 + seed % 6, seed) for seed in range(24)]
    expected = [plan(x) for x in pieces]
    with kernels_as(threads=3), ThreadPoolExecutor(4) as pool:
        for got, wanted in zip(pool.map(plan, pieces), expected, strict=True):
            np.testing.assert_array_equal(got, wanted)


@needs_kernels
@pytest.mark.parametrize("algorithm", ["direct", "auto"])
def test_predict_runs_a_plan_that_does_not_depend_on_the_batch_size(algorithm):
    model = everything("float32")
    x, labels = images(model, 9), np.arange(9) % 7
    with kernels(algorithm=algorithm):
        expected = model.compile(9)(x)
        close(model(x), expected, TOLERANCE["float32"])
        for batch_size in (1, 2, 4, 100):
            np.testing.assert_array_equal(model.predict(x, batch_size), expected)
            loss = np.float64(np.exp(expected - expected.max(1, keepdims=True)))
            loss = -np.log(loss[np.arange(9), labels] / loss.sum(1)).mean()
            found = model.evaluate(x, labels, batch_size)
            assert found.accuracy == (expected.argmax(1) == labels).mean() and found.loss == pytest.approx(loss, 1e-5)


def test_predict_under_trace_shows_every_layer():
    model = everything()
    seen = []
    with fn.layers.trace(lambda name, phase, array: seen.append((name, array.shape[0]))):
        model.predict(images(model, 2))
    assert len(seen) > 40 and {count for _, count in seen} == {2}
