"""Impostors of the data sets, of the least-squares line and of the figures."""

from typing import Any

import numpy as np

from calibrant.impostors import kinds
from calibrant.impostors.correct import join
from calibrant.impostors.kinds import Call, impostors_of, part

# The data sets

SET, NIST, LINE, PLOT = "data.thermometer", "data.norris", "data.scaling", "data.plot"
SHAPES, COLUMNS = "data.shapes", "data.columns"
backwards = kinds.answer(lambda parts: parts[::-1])

pairs = impostors_of("thermometer")
pairs("columns-swapped", "the temperatures come first, and then the readings")(backwards, SET)
pairs("readings-scaled", "the readings are already divided by ten")(part(0, lambda x, c: x / x.dtype.type(10)), SET)
pairs("sorted-by-reading", "the pairs are sorted by their readings")(
    kinds.answer(lambda columns: tuple(x[np.argsort(columns[0])] for x in columns)), SET
)
pairs("rounded-to-whole-degrees", "the readings are rounded to integers")(part(0, lambda x, c: np.round(x)), SET)
norris = impostors_of("norris")
norris("one-digit-wrong", "the third pair is (118.2, 118.2) instead of (118.2, 118.1)")(
    part(1, lambda y, c: np.where(np.arange(y.size) == 2, c()[0], y)), NIST
)
norris("equal-readings-evened", "of the two pairs with x = 0.3, y is 0.4 and 0.5 instead of 0.3 and 0.6")(
    part(1, lambda y, c: np.where(c()[0] == c()[0][23], np.round(y * 10 + np.sign(0.45 - y)) / 10, y)), NIST
)
norris("columns-swapped", "the columns are in the order of NIST's file, which has y first")(backwards, NIST)
norris("columns-sorted-apart", "each column is sorted by itself, so that the pairs are torn apart")(
    kinds.answer(lambda columns: tuple(map(np.sort, columns))), NIST
)
for rows, clause in (pairs, SET), (norris, NIST):
    rows("last-pair-missing", "the last pair is missing")(kinds.answer(lambda xy: tuple(x[:-1] for x in xy)), clause)

# The least-squares line


def _from_sums(c: Call) -> Any:
    u, mean = c.t_u.mean(), c.t_c.mean()
    return join(w := ((c.t_u * c.t_c).mean() - u * mean) / ((c.t_u * c.t_u).mean() - u * u), mean - w * u)


fit = impostors_of("least_squares", why_not_small="one of the clause's two properties divides the readings by ten")
fit("no-intercept", "the line goes through the origin")(
    lambda c: join((c.t_u * c.t_c).sum() / (c.t_u * c.t_u).sum(), c()[0] * 0), LINE
)
fit("spread-over-n-minus-1", "the covariance is divided by n, but the variance by n - 1")(
    lambda c: join(w := c()[0] * (c.n - 1) / c.n, c.t_c.mean() - w * c.t_u.mean()), LINE
)
fit("intercept-not-moved-back", "the intercept belongs to the centred readings: it is the mean of the temperatures")(
    kinds.part(1, lambda b, c: c.t_c.mean()), LINE
)
fit("intercept-first", "the intercept comes first, and then the slope")(backwards, LINE)
fit("readings-from-temperatures", "the line predicts readings from temperatures")(kinds.swapped("t_u", "t_c"), LINE)
fit("through-the-ends", "the line goes through the first pair and the last one")(
    kinds.checked(lambda c: c(t_u=c.t_u[[0, -1]], t_c=c.t_c[[0, -1]])), LINE
)
fit("last-sample-dropped", "the last pair is left out")(kinds.checked(kinds.shortened("t_u", "t_c")), LINE)
fit("textbook-sums", "the slope is (mean(t_u t_c) - u c) / (mean(t_u²) - u²) of the means u and c")(
    kinds.checked(_from_sums), LINE
)
fit.in_dtype("float32", LINE)
shapes = impostors_of("least_squares")
shapes.in_dtype("float64", "data.dtype")
shapes("centred-in-place", "it centres the caller's readings in place")(
    kinds.overwritten("t_u", lambda c, line: c.t_u - c.t_u.mean()), "data.pure"
)
for rows in (shapes, impostors_of("training_loop", chapters=("data",))):
    rows("flattened", "arrays of any shape are flattened first")(
        lambda c: c(t_u=join(c.t_u), t_c=join(c.t_c)), f"{SHAPES} {COLUMNS}"
    )
    rows("broadcasting", "(n,) against (n, 1) is broadcast to n² pairs")(
        kinds.stretched("t_u", "t_c"), f"{SHAPES} {COLUMNS}"
    )
    rows("longer-column-cut", "the longer column is cut, as `zip` does")(kinds.cut_to_the_shorter("t_u", "t_c"), SHAPES)
    rows("longer-readings-cut", "readings beyond the last temperature are left out")(
        lambda c: c(t_u=c.t_u[: c.t_c.size]) if len(c.t_u.shape) == len(c.t_c.shape) == 1 else c(), SHAPES
    )
for rows in (impostors_of(name, chapters=("data",)) for name in ("closed_form", "manual_training_loop", "ridge")):
    rows("flattened-and-cut", "arrays of any shape are flattened, and the longer is cut to the length of the other")(
        lambda c: c(t_u=join(c.t_u)[: c.t_c.size], t_c=join(c.t_c)[: c.t_u.size]), f"{SHAPES} {COLUMNS}"
    )
shapes("line-of-nothing", "no samples give a line of zeros instead of an error")(
    kinds.where(lambda c: c.t_u.shape == c.t_c.shape and c.n == 0, lambda c: np.zeros(2)), COLUMNS
)

# The figures

figures = impostors_of("figures", why_not_small="it has no arguments")
figures("losses-after-the-update", "the loss that is drawn for an epoch is the one after its update")(
    kinds.answer(lambda f: f | {"losses": {run: (x[:-1], y[1:]) for run, (x, y) in f["losses"].items()}}), PLOT
)
figures("losses-between-drawn-by-hand", "the losses from the 21st epoch to the 90th lie on a straight line")(
    kinds.answer(
        lambda f: (
            f
            | {
                "losses": {
                    run: (x, [*y[:20], *np.linspace(y[20], y[89], 70), *y[90:]]) for run, (x, y) in f["losses"].items()
                }
            }
        )
    ),
    PLOT,
)
figures("fit-by-hand", "the line that is drawn is 5/9 (t_u - 32), whatever was fitted")(
    kinds.answer(lambda f: f | {"fit": {"fit": (t_u := f["fit"]["fit"][0], [(u - 32) * 5 / 9 for u in t_u])}}), PLOT
)

_NEAR = 64 + np.array([0.1, 0.7, 0.2, 0.9])
_SMALL = 1 + 2.0**-20 * np.array([0.0, 1.0, 3.0, 2.0])
QUESTIONS = {
    **dict.fromkeys(("figures", "thermometer", "norris"), ((),)),
    "least_squares": (
        (np.array([1.0, 2.0, 4.0, 5.0]), np.array([2.0, 1.0, 3.0, -2.0])),
        (np.array([2.0, 1.0]), np.array([5.0, 3.0])),
        # Numbers with many digits, and readings that lie close together.
        (np.array([0.1, 2.3, -1.7, 4.9, 0.3]), np.array([0.7, -1.1, 3.3, 0.2, 0.9])),
        (_NEAR, 3 * _NEAR + 1),
        (_SMALL, 2 * _SMALL),
        # Shapes.
        (np.array([1.0, 3.0]), np.array([[0.0], [4.0]])),
        (np.array([[1.0], [3.0]]), np.array([[0.0], [4.0]])),
        (np.array([1.0, 3.0]), np.array([0.0, 4.0, 1.0])),
        (np.array([1.0, 3.0, 4.0]), np.array([0.0, 4.0])),
        (np.zeros(0), np.zeros(0)),
    ),
}

FACTS = dict.fromkeys(
    ("thermometer", "norris"), lambda question, xy, before: [np.round(x.astype(np.float64) * 100).tolist() for x in xy]
)
"""The columns are written in tenths, and compared in hundredths: their dtype is the target's choice."""
