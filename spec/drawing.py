"""What all drawings of the book share: colours, a style, boxes and arrows, and what their bytes depend on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = FORWARD, BACKWARD, REST, *_, GREY = ("#1b4965", "#c8553d", "#5b8e7d", "#8a6fa8", "#b08900", "#555555")
"""The colours of curves, in their order; the named ones have a meaning in diagrams."""
PAPER, GHOST = "white", "#eef2f5"
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "calibrant",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "path.simplify": False,
    "mathtext.fontset": "dejavusans",
    "figure.figsize": (6.0, 3.7),
    "figure.facecolor": "white",
    "lines.linewidth": 1.6,
}

Place = tuple[float, float]


@contextmanager
def canvas(*, grid: bool) -> Iterator[tuple[Figure, Axes]]:
    """A figure and its axes in the style of the book, with a grid or without, for as long as they are drawn and saved."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE, "axes.grid": grid}):
        figure = Figure(layout="constrained")
        FigureCanvasSVG(figure)
        yield figure, figure.add_subplot()


def box(ax: Axes, at: Place, text: str, *, width: float = 1.6, height: float = 0.7, **style: Any) -> None:
    """A labelled box around a place of a diagram."""
    from matplotlib.patches import FancyBboxPatch

    corner = at[0] - width / 2, at[1] - height / 2
    shape = "round,pad=0,rounding_size=0.12"
    look: dict[str, Any] = {"facecolor": PAPER, "edgecolor": FORWARD, "linewidth": 1.4, "boxstyle": shape} | style
    ax.add_patch(FancyBboxPatch(corner, width, height, zorder=2, **look))
    ax.text(*at, text, ha="center", va="center", zorder=3)


def arrow(ax: Axes, start: Place, end: Place, text: str = "", *, lift: Place = (0, 0.2), **style: Any) -> None:
    """An arrow of a diagram, and its text, moved by `lift` from the arrow's middle."""
    look = {"arrowstyle": "-|>", "color": FORWARD, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0} | style
    ax.annotate("", end, start, arrowprops=look)
    middle = (start[0] + end[0]) / 2 + lift[0], (start[1] + end[1]) / 2 + lift[1]
    ax.text(*middle, text, ha="center", va="center", color=look["color"], fontsize=9)


def drawn_with() -> str:
    """What the bytes of a drawing depend on: who lays it out, and whose sums round in which order."""
    import matplotlib

    torch_version = torch.__version__.split("+")[0]
    return f"matplotlib {matplotlib.__version__}, torch {torch_version}, {torch.backends.cpu.get_cpu_capability()}"
