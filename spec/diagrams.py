"""The diagrams of the book: shapes, strides, graphs and cycles. Their numbers come from `calibrant.mechanics`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from calibrant.mechanics.autograd import backward
from calibrant.mechanics.broadcasting import expand, multiply
from calibrant.spec.drawing import BACKWARD, FORWARD, GHOST, GREY, PAPER, REST, Place, arrow, box, canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def grid(ax: Axes, corner: Place, numbers: Tensor, title: str, *, solid: Callable[[int, int], bool]) -> None:
    """A table of whole numbers with its title; cells that are not solid are those that are only read again."""
    from matplotlib.patches import Rectangle

    rows, columns = numbers.shape
    for i in range(rows):
        for j in range(columns):
            x, y = corner[0] + j * 0.6, corner[1] - i * 0.6
            own = solid(i, j)
            ax.add_patch(
                Rectangle(
                    (x, y - 0.6),
                    0.6,
                    0.6,
                    facecolor=PAPER if own else GHOST,
                    edgecolor=FORWARD,
                    linewidth=1.1,
                    linestyle="-" if own else ":",
                )
            )
            ax.text(
                x + 0.3, y - 0.3, f"{numbers[i, j].item():g}", ha="center", va="center", color="black" if own else GREY
            )
    ax.text(corner[0] + columns * 0.3, corner[1] + 0.25, title, ha="center", va="center", fontsize=9)


def learning_loop(ax: Axes) -> None:
    """Forward along the top, backward along the bottom."""
    box(ax, (1.1, 3), "inputs", width=1.8, height=0.9)
    box(ax, (4.6, 3), "model and its\nparameters", width=2.8, height=1.1)
    box(ax, (8.9, 3), "predictions", width=2.4, height=0.9)
    box(ax, (8.9, 5), "true outputs", width=2.4, height=0.9)
    box(ax, (12.6, 3), "loss", width=1.8, height=0.9)
    box(ax, (12.6, 1), "gradient", width=1.8, height=0.9)
    box(ax, (4.6, 1), "new parameters", width=3.2, height=0.9)
    arrow(ax, (2.0, 3), (3.2, 3))
    arrow(ax, (6.0, 3), (7.7, 3), "forward", lift=(0, 0.3))
    arrow(ax, (10.1, 3), (11.7, 3))
    arrow(ax, (10.1, 5), (12.6, 3.45))
    arrow(ax, (12.6, 2.55), (12.6, 1.45), "backward", lift=(1.0, 0), color=BACKWARD)
    arrow(ax, (11.7, 1), (6.2, 1), "− learning rate × gradient", lift=(0, 0.3), color=BACKWARD)
    arrow(ax, (4.6, 1.45), (4.6, 2.45), "repeat", lift=(-0.8, 0), color=BACKWARD)
    extent(ax, (0, 14.6), (0.4, 5.6))


def chain_rule(ax: Axes) -> None:
    """Three samples stand for all: their paths from each parameter part, and meet in the loss."""
    box(ax, (1, 4.2), "$w$", width=1.2, height=0.9)
    box(ax, (1, 1.4), "$b$", width=1.2, height=0.9)
    box(ax, (11, 2.8), "$L$", width=1.2, height=0.9)
    for y, i, reading, lift in (
        (4.8, "1", (-0.3, 0.2), 0.4),
        (2.8, "i", (-0.3, 0.37), 0.4),
        (0.8, "n", (-1.25, 0.65), -0.45),
    ):
        box(ax, (6, y), f"$t_{{p,{i}}}$", width=1.5, height=0.9)
        arrow(ax, (1.6, 4.2), (5.25, y), f"$t_{{u,{i}}}$", lift=reading)
        arrow(ax, (1.6, 1.4), (5.25, y), color=REST)
        rate = rf"$\frac{{2}}{{n}}\,(t_{{p,{i}}} - t_{{c,{i}}})$"
        arrow(ax, (6.75, y), (10.4, 2.8 + (y - 2.8) / 8), rate, lift=(0.3, lift), color=BACKWARD)
    ax.text(2.6, 0.75, "each 1", color=REST, fontsize=9, ha="center")
    extent(ax, (0, 12), (0.1, 5.6))


def broadcasting(ax: Axes) -> None:
    """A column by a row: the stretched cells are dotted."""
    column, row = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[1.0, 2.0, 3.0]])
    grid(ax, (0.3, 3), expand(column, (3, 3)), "(3, 1) stretched", solid=lambda i, j: j == 0)
    grid(ax, (3.3, 3), expand(row, (3, 3)), "(1, 3) stretched", solid=lambda i, j: i == 0)
    grid(ax, (6.3, 3), multiply(column, row), "(3, 3) product", solid=lambda i, j: True)
    for x, sign in ((2.7, "×"), (5.7, "=")):
        ax.text(x, 2.1, sign, ha="center", va="center", fontsize=16)
    extent(ax, (0, 8.4), (1, 3.6))


def strides(ax: Axes) -> None:
    """Three views of six numbers in memory."""
    memory = torch.arange(6.0)
    table = memory.reshape(2, 3)
    grid(ax, (2.6, 4.6), memory.reshape(1, 6), "memory: six numbers in a row", solid=lambda i, j: True)
    views = (
        ("table", table, True),
        ("its transpose", table.T, True),
        ("its first row, stretched", expand(table[0], (2, 3)), False),
    )
    for x, (name, view, whole) in zip((0.3, 3.6, 6.6), views, strict=True):
        title = f"{name}\nstrides {view.stride()}"
        grid(ax, (x, 2.9), view, title, solid=(lambda i, j: True) if whole else (lambda i, j: i == 0))
    extent(ax, (0, 8.8), (0.9, 5.1))


def graph_values() -> dict[str, tuple[float, float]]:
    """Value and derivative of the loss, at each node of the line and its loss for one sample, t_u = 2 and t_c = 3."""
    w, b = torch.tensor(1.0, requires_grad=True), torch.tensor(0.0, requires_grad=True)
    product = w * 2.0
    t_p = product + b
    r = t_p - 3.0
    loss = r**2
    nodes = {"w": w, "b": b, "w t_u": product, "t_p": t_p, "r": r, "L": loss}
    for node in nodes.values():
        node.retain_grad()
    loss.backward()
    return {name: (node.item(), node.grad.item()) for name, node in nodes.items() if node.grad is not None}


def graph(ax: Axes) -> None:
    """Forward from left to right, backward from right to left."""
    places = {"w": (0.9, 3), "b": (2.9, 1), "w t_u": (2.9, 3), "t_p": (4.9, 3), "r": (6.9, 3), "L": (8.9, 3)}
    values = graph_values()
    for name, place in places.items():
        leaf, symbol = name in ("w", "b"), f"(${name}$)" if " " in name else f"${name}$"
        box(ax, place, f"${name}$ = {values[name][0]:g}", width=1.3, facecolor=GHOST if leaf else PAPER)
        ax.text(
            place[0], place[1] - 0.62, f"∂L/∂{symbol} = {values[name][1]:g}", ha="center", color=BACKWARD, fontsize=9
        )
    operations = ("w", "w t_u", "· $t_u$ = 2"), ("w t_u", "t_p", "+"), ("t_p", "r", "− $t_c$ = 3"), ("r", "L", "square")
    for start, end, text in operations:
        (x, y), (end_x, _) = places[start], places[end]
        arrow(ax, (x + 0.65, y + 0.12), (end_x - 0.65, y + 0.12), text, lift=(0, 0.5))
        arrow(ax, (end_x - 0.65, y - 0.15), (x + 0.65, y - 0.15), color=BACKWARD, linestyle="--")
    arrow(ax, (3.6, 1.1), (4.7, 2.2), color=FORWARD)
    arrow(ax, (4.95, 2.2), (3.6, 0.9), color=BACKWARD, linestyle="--")
    ax.text(7.9, 1.3, "→ forward: values", color=FORWARD, ha="center")
    ax.text(7.9, 0.8, "⇠ backward: derivatives of L", color=BACKWARD, ha="center")
    extent(ax, (0, 9.8), (0.1, 4))


def two_graphs(ax: Axes) -> None:
    """One leaf, two losses; only one is walked back."""
    box(ax, (1, 2), "params\n(leaf)", height=0.9, facecolor=GHOST)
    for y, part, colour, line in ((3.2, "train", FORWARD, "-"), (0.8, "val", GREY, ":")):
        box(ax, (4.2, y), f"{part}_t_p", edgecolor=colour, linestyle=line)
        box(ax, (7.4, y), f"{part}_loss", edgecolor=colour, linestyle=line)
        arrow(ax, (1.8, 2 + (y - 2) / 4), (3.4, y), color=colour, linestyle=line)
        arrow(ax, (5, y + 0.1), (6.6, y + 0.1), "loss_fn", color=colour, linestyle=line)
    arrow(ax, (6.6, 3.0), (5, 3.0), "backward()", color=BACKWARD, linestyle="--", lift=(0, -0.25))
    arrow(ax, (3.4, 2.95), (1.8, 2.1), color=BACKWARD, linestyle="--")
    ax.text(1, 1.3, "params.grad", ha="center", color=BACKWARD, fontsize=9)
    ax.text(5.8, 0.2, "under no_grad: a value, and no graph to walk back", ha="center", color=GREY, fontsize=9)
    extent(ax, (0, 8.4), (0, 3.8))


def accumulated() -> list[list[float]]:
    """What stands in .grad after each of the source's three batches."""

    def loss(i: int) -> Callable[[Tensor], Tensor]:
        return lambda params: (params * i).sum()

    return [left.tolist() for _, left in backward([loss(1), loss(2), loss(3)], torch.tensor([1.0, 2.0]), "never")]


def accumulation(ax: Axes) -> None:
    """Three passes add into one gradient; then one step."""
    for k, left in enumerate(accumulated()):
        x = 1.1 + 2.2 * k
        box(ax, (x, 3), f"batch {k + 1}\nloss {k + 1}", height=0.9)
        arrow(ax, (x, 2.55), (x, 1.45), color=BACKWARD, linestyle="--")
        ax.text(x + 0.1, 2.0, f"+ [{k + 1}, {k + 1}]", color=BACKWARD, fontsize=9, va="center")
        box(ax, (x, 1.1), f".grad = [{left[0]:g}, {left[1]:g}]", edgecolor=BACKWARD, width=1.8)
        if k:
            arrow(ax, (x - 1.3, 1.1), (x - 0.9, 1.1), color=BACKWARD)
    arrow(ax, (6.4, 1.1), (7.2, 1.1))
    box(ax, (8, 1.1), "step,\nthen zero", height=0.9)
    extent(ax, (0, 9), (0.5, 3.6))


def optimizer_cycle(ax: Axes) -> None:
    """Parameters, loss, gradient, step."""
    places = {
        "parameters": (1.3, 3),
        "loss": (5.9, 3),
        "gradient\nin .grad": (5.9, 1),
        "optimizer\nand its memory": (1.3, 1),
    }
    for text, place in places.items():
        box(ax, place, text, width=2.1, height=0.9)
    arrow(ax, (2.35, 3), (4.85, 3), "forward pass")
    arrow(ax, (5.9, 2.55), (5.9, 1.45), color=BACKWARD)
    ax.text(6.05, 2, "backward()", color=BACKWARD, fontsize=9, va="center")
    arrow(ax, (4.85, 1), (2.35, 1), "step() reads", color=REST)
    arrow(ax, (1.3, 1.45), (1.3, 2.55), color=REST)
    ax.text(1.45, 2, "update in place", color=REST, fontsize=9, va="center")
    ax.text(5.9, 0.25, "zero_grad() empties it before the next round", ha="center", color=BACKWARD, fontsize=9)
    extent(ax, (0, 8), (0, 3.6))


def extent(ax: Axes, x: Place, y: Place) -> None:
    """Show this part of the plane, to scale and without axes."""
    ax.set(xlim=x, ylim=y, aspect="equal")
    ax.axis("off")


DIAGRAMS: dict[str, Callable[[Axes], None]] = {
    "learning-loop": learning_loop,
    "chain-rule": chain_rule,
    "broadcasting": broadcasting,
    "strides": strides,
    "graph": graph,
    "accumulation": accumulation,
    "optimizer-cycle": optimizer_cycle,
    "two-graphs": two_graphs,
}
"""Every diagram by its name, in the order of the chapters."""


@contextmanager
def drawing(name: str) -> Iterator[Figure]:
    """The diagram `name`, in the style that it is saved in."""
    with canvas(grid=False) as (figure, ax):
        DIAGRAMS[name](ax)
        (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
        figure.set_size_inches(6, 6 * (top - bottom) / (right - left))
        yield figure
