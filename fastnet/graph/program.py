"""Program: a graph prepared to run forward and backward, any number of times and from any number of threads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

from fastnet.graph.branches import droppable
from fastnet.graph.gradients import schedule
from fastnet.graph.ir import Graph, Node
from fastnet.graph.orders import differs, entered, entered_gradient
from fastnet.ops import ACTIVATION, Stream

__all__ = ["Program", "Step"]


class Step(NamedTuple):
    """A node prepared to run: ``kernel(*arrays)``.

    Attributes
    ----------
    node : Node
    number : int
        The index of the step, and of its saved values in the tape.
    kernel : function
    take : function
        Selects the op's arrays from the list of all values.
    slot : int
        The index of the result in that list.
    dead : tuple of int
        The slots of values that are not read after this step.
    """

    node: Node
    number: int
    kernel: Callable[..., Any]
    take: Callable[[list[Any]], tuple[Any, ...]]
    slot: int
    dead: tuple[int, ...]


class _Back(NamedTuple):
    number: int
    kernel: Callable[..., Any]
    slot: int
    needs: tuple[bool, ...]
    add: int | None
    single: bool
    targets: list[tuple[int, int, Any, bool]]  # position, slot, parameter or None, whether to add


class Program:
    """A network on one backend, for one shape of x, an array of that backend (``ops.asarray``).

    Parameters
    ----------
    graph : Graph
        Fused beforehand, if at all.
    ops : Ops
        The backend.
    gradients : bool
        Whether :meth:`forward` may be followed by a backward pass; :meth:`infer` alone keeps nothing.
    tell : function, optional
        ``tell(name, "backward", gradient)``, called for each parameter's gradient.
    around : function, optional
        ``around(node, phase, kernel)`` returns a replacement for a kernel; phase is "forward" or "backward".
        The profile times kernels with it.

    Attributes
    ----------
    records : bool
        Whether a pass does nothing but call kernels that the backend can record (``ops.recording``).
    branches : list of Branch
        Those that a pass skips where stochastic depth drops them.
    """

    def __init__(
        self,
        graph: Graph,
        ops: Any,
        gradients: bool,
        tell: Callable[..., None] | None = None,
        around: Callable[..., Any] | None = None,
    ) -> None:
        self.graph, self.ops, self._tell, self._around = graph, ops, tell, around
        sources = [node for node in graph.nodes if node.op is None and node is not graph.source]
        computed = [node for node in graph.nodes if node.op is not None]
        self._slots = {node: slot for slot, node in enumerate([graph.source, *sources, *computed])}
        self._nodes = list(self._slots)
        self._count = len(self._slots) + 1  # the last value is None, for omitted arrays
        self._output = self._slots[graph.output]
        self._constants = [(self._slots[node], node.source) for node in sources if not node.is_parameter]
        self._parameters = [(self._slots[node], node.source, node) for node in sources if node.is_parameter]
        self._buffers = [n for n, (_, parameter, _) in enumerate(self._parameters) if parameter.buffer]
        updated = dict.fromkeys(other for node in computed for other in node.updated)
        self._updated = [node.source for node in updated if node.is_parameter]  # in place, by each pass
        self._known: list[Any] = [None] * len(self._parameters)  # the stamps of arrays that were checked
        self._gradients = gradients
        for node in computed if gradients else ():
            if node.op is not None and node.op.backward is None:
                raise TypeError(
                    f"{node.name} has no gradient: a layer that calls it can infer, model(x), but not run forward(x)"
                )
        # Nodes that are read in another memory order.
        self._mixed = {node for node in (graph.output, *graph.kept) if differs(node, ACTIVATION)}
        self.steps = self._made_steps(computed)
        self._plans: dict[tuple[Any, ...], list[_Back]] = {}
        self._opaque = [node for node in computed if node.name == "opaque"]
        streams = [value for node in computed for value in node.attributes.values() if isinstance(value, Stream)]
        self._streams = list({id(stream): stream for stream in streams}.values())  # a layer that is used twice has one
        self.branches = droppable(graph) if gradients and tell is None and around is None else []
        self.records = gradients and not around and all(node.op and ops.records(node.op) for node in computed)

    def _made_steps(self, nodes: list[Node]) -> list[Step]:
        last = {self._slots[other]: n for n, node in enumerate(nodes) for other in node.inputs if other is not None}
        last |= dict.fromkeys([self._output, *(self._slots[node] for node in self.graph.kept)], len(nodes))
        dead: list[list[int]] = [[] for _ in range(len(nodes) + 1)]
        for slot, n in last.items():
            dead[n].append(slot)
        steps = []
        for n, node in enumerate(nodes):
            attributes = node.attributes
            if node.name == "opaque":
                shape = None if node is self.graph.output else attributes["shape"]
                attributes = {**attributes, "keep": self._gradients, "shape": shape}
            kernel, mixed = entered(self.ops, node, partial(self.ops.kernel(node.op), **attributes))
            self._mixed.update(mixed)
            if self._around is not None:
                kernel = self._around(node, "forward", kernel)
            places = [self._count - 1 if other is None else self._slots[other] for other in node.inputs]
            take = itemgetter(*places) if len(places) > 1 else _one(places[0])
            steps.append(Step(node, n, kernel, take, self._slots[node], tuple(dead[n])))
        return steps

    # ---------------------------------------------------------------- forward

    def _values(self, x: Any) -> list[Any]:
        values: list[Any] = [None] * self._count
        values[0] = x
        for (slot, _, _), value in zip(self._parameters, self._parameter_arrays(), strict=True):
            values[slot] = value
        for slot, value in self._constants:
            values[slot] = value
        return values

    def _parameter_arrays(self) -> list[Any]:
        known, arrays = self._known, []
        for n, (_, parameter, node) in enumerate(self._parameters):
            value = parameter._array
            arrays.append(value if parameter._stamp is known[n] else self._admitted(n, parameter, node))
        for parameter in self._updated:
            parameter.touch()
        return arrays

    @property
    def parameters(self) -> list[Any]:
        """The parameters and buffers that the network reads."""
        return [parameter for _, parameter, _ in self._parameters]

    def given(self) -> list[Any] | None:
        """The arrays that a pass reads or changes besides x, always in this order; None if kernels cannot update one
        of them directly."""
        arrays = self._parameter_arrays()
        if any(self._known[n] is None or not _writeable(arrays[n]) for n in self._buffers):
            return None
        arrays += [value for _, value in self._constants]
        arrays += [stream.position for stream in self._streams]
        return arrays

    def _admitted(self, n: int, parameter: Any, node: Node) -> Any:
        """A parameter's array, checked, in the memory order that kernels read."""
        parameter.move()
        stamp, value = parameter._stamp, parameter._array
        if tuple(value.shape) != node.shape or value.dtype != node.dtype:
            raise ValueError(
                f"{parameter.name or 'parameter'}: the value is an array {tuple(value.shape)} of {value.dtype}; the "
                f"layer was built with {node.shape} of {node.dtype}"
            )
        read = self.ops.contiguous(value, node.dtype)
        self._known[n] = stamp if read is value else None
        return value if parameter.buffer else read  # buffers are updated in place

    def infer(self, x: Any) -> Any:
        """The output alone; each value is dropped after its last use."""
        values = self._values(x)
        for _, _, kernel, take, slot, dead in self.steps:
            result = kernel(*take(values))
            values[slot] = result[0] if type(result) is tuple else result
            for old in dead:
                values[old] = None
        return values[self._output]

    def forward(self, x: Any) -> tuple[Any, Callable[..., Any]]:
        """``(y, backward)``; ``backward(dy, input_gradient=True)`` may be called once."""
        values, alive = self._run(x)

        def backward(dy: Any, input_gradient: bool = True) -> Any:
            tape, still = _once(alive)
            return self._backward(tape, still, dy, input_gradient)

        return values[self._output], backward

    def probe(self, x: Any) -> tuple[list[Any], Callable[..., Any]]:
        """The values of the graph's `kept` nodes, and their gradients.

        ``backward(given, wanted)`` takes a gradient, or None, for each kept node, and returns those of the kept nodes
        with the numbers `wanted`: what was given for them is part of it, and None means zero.  It leaves parameters
        alone, and may be called once.
        """
        values, alive = self._run(x)
        slots = [self._slots[node] for node in self.graph.kept]

        def backward(given: Sequence[Any], wanted: Sequence[int]) -> list[Any]:
            (tape, still), gradients = _once(alive), [None] * self._count
            for slot, gradient in zip(slots, given, strict=True):
                if gradient is not None:
                    known = gradients[slot]
                    gradients[slot] = gradient if known is None else self.ops.add(gradient, known)
            sources = {slot for slot in slots if gradients[slot] is not None}
            targets = {slots[number] for number in wanted}
            key = "probe", frozenset(sources), frozenset(targets)
            plan = self._plans.get(key)
            if plan is None:
                plan = self._plans[key] = self._planned(
                    lambda node: self._slots[node] in targets,
                    lambda node: False,
                    [node for node in self.graph.kept if self._slots[node] in sources],
                )
            self._propagate(plan, tape, gradients, targets, still)
            return [gradients[slots[number]] for number in wanted]

        return [values[slot] for slot in slots], backward

    def _run(self, x: Any) -> tuple[list[Any], list[Any]]:
        """All values that are still alive; and in a list, from which it is taken once, (what the ops saved, the slots
        whose gradients are zero)."""
        values = self._values(x)
        tape: list[Any] = []
        dropped = [branch for branch in self.branches if branch.drops(self.ops)]
        idle = {node for branch in dropped for node in branch.idle}
        still = frozenset(self._slots[node] for branch in dropped for node in branch.still)
        for node, _, kernel, take, slot, dead in self.steps:
            if node in idle:
                values[slot], saved = self._idle(node), None
            else:
                values[slot], saved = kernel(*take(values))
            tape.append(saved)
            for old in dead:
                values[old] = None
        return values, [(tape, still)]

    def _idle(self, node: Node) -> Any:
        """The value of a node of a branch that is skipped: None, and zeros of its dropout, which draws its number."""
        if all(node is not branch.drop for branch in self.branches):
            return None
        node.attributes["stream"].take(1)
        return self.ops.zeros(node.shape, node.dtype)

    # ---------------------------------------------------------------- backward

    def _backward(self, tape: list[Any], still: frozenset[int], dy: Any, input_gradient: bool) -> Any:
        flags = input_gradient, *[p.requires_grad for _, p, _ in self._parameters], *self._trains()
        plan = self._plans.get(flags)
        if plan is None:
            plan = self._plans[flags] = self._planned(*self._flagged(flags))
        gradients: list[Any] = [None] * self._count
        gradients[self._output] = dy
        del dy
        self._propagate(plan, tape, gradients, (), still)
        return gradients[0] if input_gradient else None

    def _propagate(
        self,
        plan: list[_Back],
        tape: list[Any],
        gradients: list[Any],
        wanted: Collection[int],
        still: frozenset[int],
    ) -> None:
        """Run the steps but those of the slots `still`; each gradient is dropped after its last use, except in the
        slots `wanted`."""
        for number, kernel, slot, needs, add, single, targets in plan:
            dy, saved = gradients[slot], tape[number]
            tape[number] = None
            if slot not in wanted:
                gradients[slot] = None
            if slot in still:
                self._add_nothing(add, targets, gradients, still)
                continue
            found = kernel(dy, saved, needs) if add is None else kernel(dy, saved, needs, add=gradients[add])
            if single:
                found = (found,)
            lent = {at for at, _, parameter, _ in targets if parameter is not None and self._lent(found[at], dy)}
            del dy, saved
            for position, target, parameter, again in targets:
                gradient = found[position]
                if parameter is not None:
                    parameter.accumulate(gradient.copy() if position in lent else gradient)
                    if self._tell is not None:
                        self._tell(parameter.name, "backward", parameter.grad)
                elif again:
                    gradients[target] = self.ops.add(gradient, gradients[target])
                else:
                    gradients[target] = gradient
            del found

    def _add_nothing(
        self, add: int | None, targets: list[tuple[int, int, Any, bool]], gradients: list[Any], still: frozenset[int]
    ) -> None:
        """The gradients of a step that would all be zero, where something reads them."""
        for _, target, parameter, again in targets:
            if parameter is not None:
                parameter.accumulate(self.ops.xp.zeros(parameter.shape, parameter.dtype))
            elif not again and target != add and target not in still:
                gradients[target] = self.ops.zeros(self._nodes[target].shape, self._nodes[target].dtype)

    def _lent(self, gradient: Any, dy: Any) -> bool:
        """Whether a gradient is dy itself, which others may read: the parameter that keeps it adds to it in place."""
        return bool(self.ops.xp.may_share_memory(gradient, dy))

    def _trains(self) -> list[bool]:
        return [node.attributes["layer"].trains() for node in self._opaque]

    def _flagged(self, flags: tuple[bool, ...]) -> tuple[Callable[[Node], bool], Callable[[Node], bool]]:
        """The arguments `wanted` and `trains` of :func:`schedule` for a backward pass."""
        count = len(self._parameters)
        wanted = {self.graph.source: flags[0]}
        wanted |= {node: flag for (_, _, node), flag in zip(self._parameters, flags[1 : count + 1], strict=True)}
        trains = dict(zip(self._opaque, flags[count + 1 :], strict=True))
        return lambda node: wanted.get(node, False), lambda node: trains.get(node, False)

    def _planned(
        self, wanted: Callable[[Node], bool], trains: Callable[[Node], bool], given: Sequence[Node] = ()
    ) -> list[_Back]:
        plan = []
        steps = {step.node: step.number for step in self.steps}
        for node, needs, add, targets in schedule(self.graph, wanted, trains, given):
            assert node.op is not None
            kernel = self.ops.gradient(node.op)
            if self._mixed.intersection([node, *node.inputs]):
                kernel = entered_gradient(self.ops, node, kernel)
            if self._around is not None:
                kernel = self._around(node, "backward", kernel)
            plan.append(
                _Back(
                    steps[node],
                    kernel,
                    self._slots[node],
                    needs,
                    None if add is None else self._slots[add],
                    not node.op.variadic and len(node.op.differentiable) == 1,
                    [
                        (
                            position,
                            self._slots[other],
                            other.source if other.op is None and other is not self.graph.source else None,
                            again,
                        )
                        for position, other, again in targets
                    ],
                )
            )
        return plan


def _once(alive: list[Any]) -> Any:
    if not alive:
        raise RuntimeError("backward: already called, which freed the activations; run forward again")
    return alive.pop()


def _writeable(array: Any) -> bool:
    return getattr(array.flags, "writeable", True)  # CuPy's always are


def _one(place: int) -> Callable[[list[Any]], tuple[Any, ...]]:
    return lambda values: (values[place],)
