"""Pictures of the page, drawn as SVG: errors against their bounds, a sequence beside the exact one, the rows of a split."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any
from xml.etree import ElementTree

from calibrant.protocol.errors import printable

Element = ElementTree.Element

WIDTH = 480
LEFT, RIGHT = 92, 16
"""The margins to the left and right of the drawing."""
LEAST = 1e-3
"""The least error that has a place of its own on the axis, in bounds; what is smaller stands at its left end."""


def _svg(height: float, title: str, description: str = "") -> Element:
    svg = ElementTree.Element(
        "svg",
        {"viewBox": f"0 0 {WIDTH} {height:g}", "role": "img", "class": "picture", "preserveAspectRatio": "xMinYMin"},
    )
    ElementTree.SubElement(svg, "title").text = printable(title)
    if description:
        ElementTree.SubElement(svg, "desc").text = printable(description)
    return svg


def _add(parent: Element, tag: str, text: str = "", /, **attributes: Any) -> Element:
    """A part of a picture; `class_` is its class, and an underscore stands for a hyphen."""
    named = {
        name.rstrip("_").replace("_", "-"): f"{x:.6g}" if isinstance(x, float) else str(x)
        for name, x in attributes.items()
    }
    part = ElementTree.SubElement(parent, tag, named)
    if text:
        part.text = printable(text)
    return part


def _drawn(svg: Element) -> str:
    return ElementTree.tostring(svg, encoding="unicode")


def number(x: Any) -> float | None:
    """A number of a report, in which JSON's words stand for what is not finite; None for anything else."""
    try:
        return float(str(x))
    except ValueError:
        return None


class _Bounds:
    """A logarithmic axis of errors in units of their bound, from `LEAST` to beyond the largest."""

    def __init__(self, ratios: Iterable[float], most: float = math.inf) -> None:
        shown = [ratio if math.isfinite(ratio) else math.inf for ratio in ratios]
        largest = max((ratio for ratio in shown if ratio <= most and math.isfinite(ratio)), default=1.0)
        self.beyond = any(ratio > largest for ratio in shown)
        self.decades = math.ceil(math.log10(max(largest, 1.0)) - 1e-9)
        self.low = math.log10(LEAST)
        self.high = self.decades + (0.6 if self.beyond else 0.2)

    def at(self, ratio: float) -> float:
        """The place of an error on the axis. One that is not finite stands at its right end."""
        if not math.isfinite(ratio):
            logarithm = self.high
        else:
            logarithm = min(max(math.log10(ratio) if ratio > 0 else self.low, self.low), self.high)
        return LEFT + (WIDTH - LEFT - RIGHT) * (logarithm - self.low) / (self.high - self.low)

    def draw(self, svg: Element, top: float, bottom: float) -> None:
        """Draw the region that is allowed, the bound, and the ticks below."""
        _add(svg, "rect", x=self.at(0), y=top, width=self.at(1) - self.at(0), height=bottom - top, class_="allowed")
        _add(svg, "line", x1=self.at(1), x2=self.at(1), y1=top - 4, y2=bottom, class_="bound")
        _add(svg, "text", "bound", x=self.at(1), y=top - 8, class_="tick", text_anchor="middle")
        if self.beyond:
            _add(svg, "text", "more", x=WIDTH - RIGHT, y=top - 8, class_="tick", text_anchor="end")
        step = max(1, math.ceil((self.decades + 3) / 7))
        for power in range(-3, self.decades + 1):
            if power % step == 0:
                x = self.at(10.0**power)
                _add(svg, "line", x1=x, x2=x, y1=bottom, y2=bottom + 4, class_="axis")
                tick = _add(
                    svg, "text", "1" if power == 0 else "10", x=x, y=bottom + 17, class_="tick", text_anchor="middle"
                )
                if power:
                    _add(tick, "tspan", f"{power}".replace("-", "−"), dy="-5", class_="power")
        _add(svg, "line", x1=LEFT, x2=WIDTH - RIGHT, y1=bottom, y2=bottom, class_="axis")
        middle = (LEFT + WIDTH - RIGHT) / 2
        _add(svg, "text", "error in units of its bound", x=middle, y=bottom + 34, class_="tick", text_anchor="middle")


def errors(ratios: Sequence[float]) -> str:
    """The error of each number of an answer, in units of its bound."""
    worst = max(ratios, key=lambda x: math.inf if math.isnan(x) else x)
    outside = sum(not ratio <= 1 for ratio in ratios)
    said = (
        f"{outside} of {len(ratios)} numbers are outside their bound"
        if len(ratios) > 1
        else "The number is outside its bound"
    )
    svg, axis = _svg(104, f"{said}; the largest error is {worst:.3g} bounds."), _Bounds(ratios)
    axis.draw(svg, 22, 58)
    for k, ratio in enumerate(ratios):
        y = 40.0 if len(ratios) == 1 else 30 + 20 * ((k * 0.618) % 1)  # apart, where errors are alike
        shape = _mark(svg, axis.at(ratio), y, "good" if ratio <= 1 else "bad")
        _add(shape, "title", f"element {k}: {ratio:.3g} bounds")
    return _drawn(svg)


def _mark(svg: Element, x: float, y: float, kind: str) -> Element:
    """A circle for what is right, a diamond for what is wrong."""
    if kind == "good":
        return _add(svg, "circle", cx=x, cy=y, r=3.5, class_="mark good")
    return _add(svg, "path", d=f"M{x:.2f} {y - 5.5:.2f}l5.5 5.5l-5.5 5.5l-5.5 -5.5z", class_="mark bad")


def margins(rows: Sequence[tuple[str, Sequence[tuple[str, float, str]]]]) -> str:
    """For each chapter, the largest error of each clause and dtype in units of its bound: (name, ratio, link)."""
    every = [ratio for _, dots in rows for _, ratio, _ in dots]
    outside = sum(ratio > 1 for ratio in every)
    bottom = 26 + 22 * len(rows)
    title = (
        f"The largest error of each clause and dtype: {len(every) - outside} are within their bound, {outside} outside."
    )
    svg, axis = _svg(bottom + 44, title), _Bounds(every, most=1e3)
    axis.draw(svg, 22, bottom)
    for k, (chapter, dots) in enumerate(rows):
        y = 37.0 + 22 * k
        _add(svg, "text", chapter, x=LEFT - 10, y=y + 4, class_="label", text_anchor="end")
        for j, (name, ratio, link) in enumerate(dots):
            anchor = _add(svg, "a", href=link, tabindex="-1")
            shape = _mark(anchor, axis.at(ratio), y + 6 * (((j * 0.618) % 1) - 0.5), "good" if ratio <= 1 else "bad")
            _add(shape, "title", f"{name}: {ratio:.3g} bounds")
    return _drawn(svg)


def spread(counts: Sequence[int]) -> str:
    """A bar for the errors from each half of the bound to the next, the smallest at the left, as tall as the root of their number."""
    most, width = max(counts), 8
    said = f"{counts[0]:,} are half of their bound or more, {counts[-1]:,} less than 1/{2 ** (len(counts) - 1)} of it"
    svg = ElementTree.Element("svg", {"viewBox": f"0 0 {width * len(counts)} 18", "role": "img", "class": "spread"})
    ElementTree.SubElement(svg, "title").text = f"Of {sum(counts):,} errors {said}."
    for k, count in enumerate(reversed(counts)):
        height = 17 * math.sqrt(count / most) if count else 0.0
        _add(svg, "rect", x=width * k, y=18 - height, width=width - 1, height=height)
    _add(svg, "line", x1=0, x2=width * len(counts), y1=18, y2=18, class_="axis")
    return _drawn(svg)


def sequence(came_back: Sequence[float], exact: Sequence[float], what: str, first: int = 1) -> str:
    """Numbers that came back, step by step, beside the exact ones. A number that is not finite has no place."""
    finite = [x for x in (*came_back, *exact) if math.isfinite(x)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    logarithmic = low > 0 and high / low > 1e3
    scale = math.log10 if logarithmic else float
    low, high = scale(low), scale(high)
    if high == low:
        low, high = low - 1, high + 1
    left, top, bottom = 84, 30, 190
    steps = max(len(came_back), len(exact), 2) - 1

    def at(k: int, x: float) -> tuple[float, float]:
        return left + (WIDTH - left - RIGHT) * k / steps, bottom - (bottom - top) * (scale(x) - low) / (high - low)

    title = f"{what}: {len(came_back)} numbers came back, beside {len(exact)} exact ones."
    svg = _svg(236, title)
    values = [low, (low + high) / 2, high]
    for value, label in zip(values, _apart([10**value if logarithmic else value for value in values]), strict=True):
        y = bottom - (bottom - top) * (value - low) / (high - low)
        _add(svg, "line", x1=left, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid")
        _add(svg, "text", label, x=left - 8, y=y + 4, class_="tick", text_anchor="end")
    _add(svg, "text", str(first), x=left, y=bottom + 18, class_="tick", text_anchor="middle")
    _add(svg, "text", str(first + steps), x=WIDTH - RIGHT, y=bottom + 18, class_="tick", text_anchor="middle")
    _add(svg, "text", what, x=(left + WIDTH - RIGHT) / 2, y=bottom + 34, class_="tick", text_anchor="middle")
    for name, numbers, x in (("exact", exact, left), ("came-back", came_back, left + 90)):
        line = _add(svg, "line", x1=x, x2=x + 22, y1=12, y2=12, class_=f"line {name}")
        _add(svg, "text", name.replace("-", " "), x=x + 28, y=16, class_="label")
        for run in _runs(numbers):
            points = [at(k, value) for k, value in run]
            d = "M" + "L".join(f"{px:.2f} {py:.2f}" for px, py in points)
            line = _add(svg, "path", d=d, class_=f"line {name}")
            if len(numbers) <= 40:
                for px, py in points:
                    _add(svg, "circle", cx=px, cy=py, r=3.0 if name == "exact" else 4.0, class_=f"point {name}")
        _add(line, "title", name.replace("-", " "))
    return _drawn(svg)


def _apart(values: Sequence[float]) -> list[str]:
    """Numbers in as few digits as tell them apart."""
    for digits in range(3, 17):
        labels = [f"{value:.{digits}g}".replace("-", "−") for value in values]
        if len({*labels}) == len({*values}):
            break
    return labels


def _runs(numbers: Sequence[float]) -> list[list[tuple[int, float]]]:
    """The finite numbers with their places, those in a row together."""
    runs: list[list[tuple[int, float]]] = [[]]
    for k, x in enumerate(numbers):
        if math.isfinite(x):
            runs[-1].append((k, x))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def rows_of_a_split(train: Sequence[int], val: Sequence[int], count: int) -> str:
    """The rows 0 to `count` - 1, each by the part that it went to; rows in both parts, in none, twice or out of range stand out."""
    beyond = sorted({row for row in (*train, *val) if not 0 <= row < count})
    kinds = [_part(train.count(row), val.count(row)) for row in range(count)] + ["unknown"] * len(beyond)
    side = min(28.0, (WIDTH - 2) / max(len(kinds), 1)) if len(kinds) <= 64 else 16.0
    across = int((WIDTH - 2) // side)
    down = math.ceil(len(kinds) / across)
    counted = {kind: kinds.count(kind) for kind in ("training", "validation", "both", "neither", "twice", "unknown")}
    said = ", ".join(f"{n} in {kind}" for kind, n in counted.items() if n)
    svg = _svg(down * side + 34, f"The rows of the split: {said}.")
    for k, (row, kind) in enumerate(zip((*range(count), *beyond), kinds, strict=True)):
        x, y = 1 + side * (k % across), 1 + side * (k // across)
        cell = _add(svg, "rect", x=x, y=y, width=side - 2, height=side - 2, rx=2, class_=f"row row-{kind}")
        _add(cell, "title", f"row {row}: {kind}")
        if side >= 16:
            _add(
                svg,
                "text",
                str(row),
                x=x + side / 2 - 1,
                y=y + side / 2 + 3,
                class_=f"in-row on-{kind}",
                text_anchor="middle",
            )
    x = 1.0
    for kind, n in counted.items():
        if n:
            _add(svg, "rect", x=x, y=down * side + 12, width=12, height=12, rx=2, class_=f"row row-{kind}")
            _add(svg, "text", f"{kind} ({n})", x=x + 18, y=down * side + 22, class_="label")
            x += 34 + 7.5 * len(f"{kind} ({n})")
    return _drawn(svg)


def _part(train: int, val: int) -> str:
    if train + val == 0:
        return "neither"
    if train and val:
        return "both"
    return "twice" if train + val > 1 else "training" if train else "validation"
