"""fastnet/backends/native/places.py: values that are alive at the same time do not share memory."""

import pytest

from fastnet import backends

if backends.NativeOps is None:
    pytest.skip(f"the extension was not built: {backends.why_not_native}", allow_module_level=True)
from plan_nets import everything

from fastnet import models
from fastnet.backends import _native
from fastnet.backends.native.places import arrange

NETS = {
    "everything": lambda: everything("float32"),
    **{name: lambda name=name: models.create(name, 10) for name in ("resnet20", "mobilenet_v2", "squeezenet1_1")},
    "googlenet": lambda: models.create("googlenet", 10, (3, 64, 64)),
}


def lived(steps, stretch):
    """Each value, whether it lies in the arena, and the first and last step at which its memory is taken (of whole
    stretches in the arena)."""
    made, last = {}, {}
    for i, step in enumerate(steps):
        made.setdefault(step.home, i)
        last |= {other.home: i for other in step.reads}
    for value, first in made.items():
        end = last.get(value, len(steps) - 1)
        crosses = stretch[first] != stretch[end]
        inside = [i for i in range(len(steps)) if stretch[first] <= stretch[i] <= stretch[end]]
        yield value, crosses, (inside[0], inside[-1]) if crosses else (first, end)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("net", NETS)
def test_values_that_are_alive_do_not_overlap(net, whole):
    steps = NETS[net]().compile()._run.steps
    source, output = steps[0].inputs[0], steps[-1].home
    places = arrange(source, steps, output, 4, whole)
    stretch, number = [], 0
    for step in steps:
        number += step in places.inner
        stretch.append(number)
    assert number == len(places.inner) and stretch[0] == 1
    assert number == len(steps) if whole else number > 1, "a test of one stretch says little"
    room = [list(places.inner.values())[k - 1] for k in stretch]
    taken = []
    for value, crosses, (first, end) in lived(steps, stretch):
        offset, image = places.of[value]
        size, home = value.size * 4, "arena" if crosses else "own"
        if value is output:
            assert (offset, image) == (_native.OUTPUT, size)
            continue
        assert offset % 64 == 0 and image == (size if crosses else 0)
        assert 0 <= offset <= offset + size <= (places.arena if crosses else room[first])
        for other, where, begin, until, start, stop in taken:
            if where != home or end < begin or until < first or offset + size <= start or stop <= offset:
                continue
            step = steps[first]  # a convolution reads inputs several times, but adds before it stores
            read = {step.add} if step.kind == "conv" else {step.add, step.inputs[0]}
            overwritten = until == first and other in read and (start, stop) == (offset, offset + size)
            assert overwritten and not crosses, f"{value.kind} over {other.kind}"
        taken.append((value, home, first, end, offset, offset + size))
