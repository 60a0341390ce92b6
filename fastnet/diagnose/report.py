"""The results of a profile: rows, a table, JSON, a picture."""

from __future__ import annotations

import os
import textwrap
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from fastnet.columns import clip, pad
from fastnet.diagnose import roofline
from fastnet.diagnose.work import Work
from fastnet.storage import write_json
from fastnet.tables import html_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Row", "Profile"]

_COLUMNS = (  # title, alignment and width
    ("layer", "<", 30),
    ("pass", "<", 9),
    ("ms", ">", 8),
    ("% step", ">", 6),
    ("GFLOP/s", ">", 7),
    ("done", ">", 5),
    ("% peak", ">", 6),
    ("GB/s", ">", 5),
    ("% mem", ">", 5),
    ("bound by", "<", 8),
    ("how", "<", 21),
)


@dataclass(frozen=True)
class Row:
    """A forward or backward pass of a layer, or one of the ops that it called.

    Attributes
    ----------
    path, layer : str
        The position in the model, and the layers' classes ("Conv2d+ReLU" if fused).
    phase : str
        "forward" or "backward"; besides the layers "input" (conversion to the kernels' memory order), "loss", "update".
    part : str
        "" for the whole pass; else the gradient ("input", "weight", "bias", "ReLU") or the op.
    ms, median_ms : float
        Best and median of all rounds.
    work : Work
    bound : str
        The highest of the floors: "compute", "memory" or "overhead" (calls).
    ops : tuple of str
    forms : tuple of str
        The algorithms of convolutions: "gemm", "narrow", "small", "depthwise", "winograd", "patches".
    others : dict
        The time in ms under each convolution algorithm that would run the pass differently.
    """

    path: str
    layer: str
    phase: str
    part: str
    ms: float
    median_ms: float
    work: Work
    bound: str
    ops: tuple[str, ...]
    forms: tuple[str, ...]
    others: dict[str, float]

    def rates(self, roof: roofline.Roof) -> dict[str, float]:
        """GFLOP/s of the definition and of what was executed, GB/s, and the shares of the roofs in percent."""
        seconds = self.ms / 1e3
        flops, done, moved = (number / seconds / 1e9 for number in self.work)
        return {
            "gflops": flops,
            "gflops_done": done,
            "percent_of_peak": 100 * done / roof.gflops,
            "gbs": moved,
            "percent_of_bandwidth": 100 * moved / roof.gbs,
        }


@dataclass(frozen=True)
class Profile:
    """The times of a model's layers in whole steps; prints as a table, and as HTML in a notebook.

    Attributes
    ----------
    roof : Roof
        The machine, measured just before and after.
    model : str
    input_shape : tuple of int
    batch : int
    training : bool
    algorithm : str
        The setting for convolutions.
    step_ms : float
        The best whole step, without inner timing.
    rows : list of Row
    """

    roof: roofline.Roof
    model: str
    input_shape: tuple[int, ...]
    batch: int
    training: bool
    algorithm: str
    step_ms: float
    rows: list[Row]

    @property
    def layers_ms(self) -> float:
        """The sum of all passes."""
        return sum(row.ms for row in self.rows if not row.part)

    # ---------------------------------------------------------------- numbers

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain Python objects for JSON."""
        facts = {
            name: getattr(self, name) for name in ("model", "batch", "training", "algorithm", "step_ms", "layers_ms")
        }
        return {
            **facts,
            "input_shape": list(self.input_shape),
            "roof": {**asdict(self.roof), "warning": self.roof.warning},
            "rows": [self._plain(row) for row in self.rows],
        }

    def _plain(self, row: Row) -> dict[str, Any]:
        facts = {name: value for name, value in vars(row).items() if name != "work"}
        facts |= {"ops": list(row.ops), "forms": list(row.forms)}
        facts |= {"flops": row.work.flops, "flops_done": row.work.done, "bytes": row.work.bytes}
        return facts | {"percent_of_step": 100 * row.ms / self.step_ms} | row.rates(self.roof)

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write :meth:`to_dict` to a file."""
        write_json(path, self.to_dict())

    # ---------------------------------------------------------------- table

    def __str__(self) -> str:
        lines = [*self._head(), "", _line([title for title, _, _ in _COLUMNS])]
        lines += ["-" * len(lines[-1]), *(_line(self._cells(row)) for row in self.rows), "", *self._foot()]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        titles, cells = [title for title, _, _ in _COLUMNS], map(self._cells, self.rows)
        return html_table(titles, cells, " ".join([*self._head(), *self._foot()]))

    def _head(self) -> list[str]:
        roof, what = self.roof, "training step" if self.training else "inference"
        shape = "x".join(map(str, (self.batch, *self.input_shape)))
        lines = [
            f"{self.model}, {what}, {shape}, {roof.dtype}: {self.step_ms:.3f} ms",
            f"{roof.cpu}, {roof.isa}, {roof.threads} thread{'s' * (roof.threads > 1)}, {roof.compiler}: "
            f"{roof.gflops:.0f} GFLOP/s of multiply-adds, {roof.gbs:.1f} GB/s, {roof.call_us:.1f} us a call",
        ]
        return lines + (textwrap.wrap(f"warning: {roof.warning}", 110) if roof.warning else [])

    def _foot(self) -> list[str]:
        totals: dict[str, float] = {}
        for row in self.rows:
            if not row.part:
                totals[row.phase] = totals.get(row.phase, 0.0) + row.ms
        parts = ", ".join(f"{phase} {ms:.3f}" for phase, ms in totals.items())
        share = 100 * self.layers_ms / self.step_ms
        return [
            f"{parts} ms: together {share:.0f} % of the step",
            "GFLOP/s counts the operations of a direct convolution; done, and % peak, those that were executed.",
            "GB/s counts each array once, so what stays in a cache may pass 100 % mem.",
            "how: the algorithm, and as multiples of this time what others take.",
        ]

    def _cells(self, row: Row) -> list[str]:
        rates = row.rates(self.roof)
        if row.part:
            name, phase = "", f"  {row.part.removesuffix('_backward')}"
        else:
            name, phase = f"{row.path} {row.layer}".strip() if row.layer != row.phase else "", row.phase
        how = [*row.forms, *(f"{other} {ms / row.ms:.1f}x" for other, ms in row.others.items())]
        return [
            name,
            phase,
            f"{row.ms:.3f}",
            f"{100 * row.ms / self.step_ms:.1f}",
            *(f"{rates[key]:.0f}" if row.work.flops else "-" for key in ("gflops", "gflops_done", "percent_of_peak")),
            f"{rates['gbs']:.1f}",
            f"{rates['percent_of_bandwidth']:.0f}",
            row.bound,
            " ".join(how) or (row.ops[0].removesuffix("_backward") if len(row.ops) == 1 and not row.part else ""),
        ]

    # ---------------------------------------------------------------- picture

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw a roofline plot of the passes.

        Parameters
        ----------
        path : path, optional
            A file to write (PNG, PDF, SVG by the suffix), which needs no display.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        return roofline.plot(self, path)


def _line(cells: list[str]) -> str:
    first, *middle, last = cells
    (_, _, widest), *_, (_, _, room) = _COLUMNS
    first, last = clip(first, widest, keep="end"), clip(last, room)  # the end of a path is more informative
    start = max(0, len(middle[0]) - _COLUMNS[1][2])  # a long part name starts under the layer's
    columns = list(zip([first, *middle, last], _COLUMNS, strict=True))
    line = " ".join(pad(cell, width, align) for cell, (_, align, width) in columns)
    return (line if first else line[start:]).rstrip()
