"""The figures of the book show the code's own numbers, and drawing them again gives the committed files."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from calibrant.mechanics import validation
from calibrant.spec import diagrams, drawing, figures

pytestmark = pytest.mark.untraced

if TYPE_CHECKING:
    from calibrant.spec.figures import Series

SPEC = Path(figures.__file__).parent
SERIES = figures.series()


def committed(name: str) -> str:
    """The drawing of the book."""
    return (SPEC / "figures" / f"{name}.svg").read_text(encoding="utf-8")


def curves(svg: str, shown: Series) -> dict[str, list[tuple[float, float]]]:
    """The points of each series in the drawing, in its own units."""
    found = {}
    for label in shown:
        group = svg.split(f'<g id="{figures.mark(label)}">')[1].split("</g>\n   <g id=")[0]
        points = re.findall(r'<use [^>]*x="(\S+)" y="(\S+)"', group) or re.findall(r"[ML] (\S+) (\S+)", group)
        found[label] = [(float(x), float(y)) for x, y in points]
    return found


def test_the_book_shows_every_figure_and_no_other() -> None:
    shown = {
        name
        for chapter in SPEC.glob("*.md")
        for name in re.findall(r"!\[[^\]]+\]\(figures/([a-z-]+)\.svg\)", chapter.read_text(encoding="utf-8"))
    }

    assert shown == {*SERIES, *diagrams.DIAGRAMS} == {path.stem for path in (SPEC / "figures").iterdir()}


@pytest.mark.parametrize("name", SERIES)
def test_the_plot_shows_the_series(name: str) -> None:
    """The plot smooths, thins and drops nothing."""
    with figures.drawing(name, SERIES[name]) as figure:
        plotted = {
            str(line.get_label()): (list(line.get_xdata(orig=True)), list(line.get_ydata(orig=True)))
            for line in figure.axes[0].lines
        }

    assert plotted == SERIES[name]


@pytest.mark.parametrize("name", SERIES)
def test_every_point_of_a_series_is_drawn_and_the_drawing_is_small(name: str) -> None:
    """A writer that simplified a curve would leave fewer points."""
    drawing = curves(committed(name), SERIES[name])

    assert len(committed(name).encode()) < 60_000
    assert {label: len(points) for label, points in drawing.items()} == {
        label: len(x) for label, (x, _) in SERIES[name].items()
    }


@pytest.mark.parametrize("name", [*SERIES, *diagrams.DIAGRAMS])
def test_drawing_again_gives_the_committed_bytes(name: str, tmp_path: Path) -> None:
    """A change of the code that changes a figure then shows in review."""
    if drawing.drawn_with() not in committed(name):
        pytest.skip(f"the book's figures were not drawn with {drawing.drawn_with()}")

    (drawn,) = figures.draw(tmp_path, [name])

    assert drawn.read_text(encoding="utf-8") == committed(name)


def test_the_bound_allows_what_a_relative_tolerance_rejects_and_the_reverse() -> None:
    """Every answer in float32 is within the bound, one is not within a millionth, and hardly an answer in float16 is within either."""
    errors = {name: dict(zip(*curve, strict=True)) for name, curve in SERIES["error-and-bound"].items()}
    bound, tolerance = errors["bound"], errors["one millionth"]
    right, narrow = errors["answer in float32"].items(), errors["answer in float16"].items()

    assert all(error <= bound[bias] for bias, error in right)
    assert any(error > tolerance[bias] for bias, error in right)
    assert sum(error > bound[bias] for bias, error in narrow) > 0.9 * len(narrow)


def test_a_walk_descends_below_the_limit_and_climbs_above_it() -> None:
    for name in ("0.25 of the limit", "0.9 of the limit", "1.1 of the limit"):
        weights, losses = SERIES["parabola"][name]
        assert all((later < earlier) == (name < "1") for earlier, later in itertools.pairwise(losses))
        changes = all((later > 1) != (earlier > 1) for earlier, later in itertools.pairwise(weights))
        assert changes == (name > "0.5")


def test_the_figures_are_the_three_diagnoses() -> None:
    for name in ("underfitting", "good", "overfitting"):
        assert validation.diagnose(SERIES[name]["training"][1], SERIES[name]["validation"][1]) == name
    weights = SERIES["shrinking"]["weight"][1]
    assert all(later < earlier for earlier, later in itertools.pairwise(weights))


def written(name: str) -> set[str]:
    """The texts of a diagram."""
    with diagrams.drawing(name) as figure:
        return {text.get_text() for text in figure.axes[0].texts}


def test_the_diagrams_show_the_numbers_that_the_chapters_derive() -> None:
    """L = (w t_u + b - t_c)² has the derivatives 2 r t_u and 2 r; three batches leave 1, 3 and 6."""
    assert {"∂L/∂$w$ = -4", "∂L/∂$b$ = -2", "∂L/∂$r$ = -2", "$L$ = 1"} <= written("graph")
    assert {".grad = [1, 1]", ".grad = [3, 3]", ".grad = [6, 6]"} <= written("accumulation")
    assert {
        "table\nstrides (3, 1)",
        "its transpose\nstrides (1, 3)",
        "its first row, stretched\nstrides (0, 1)",
    } <= written("strides")


def test_a_stretched_cell_is_dotted_and_shows_what_it_repeats() -> None:
    with diagrams.drawing("broadcasting") as figure:
        ax = figure.axes[0]
        dotted = sum(patch.get_linestyle() in (":", "dotted") for patch in ax.patches)
        numbers = [int(text.get_text()) for text in ax.texts if text.get_text().isdigit()]

    assert dotted == 6 + 6
    assert numbers == [1, 1, 1, 2, 2, 2, 3, 3, 3] + [1, 2, 3] * 3 + [1, 2, 3, 2, 4, 6, 3, 6, 9]
