"""The true value and gradient of a straight-line program, each with the bound on the error of any sensible way to differentiate it.

A program is a list of instructions over earlier values; value 0 is the column of parameters. Every value is a `Number` with the running
error of its own evaluation. The derivative by a parameter is a sum over the paths that lead to it from the result, each the product of
the factors along its edges. Forward and backward walks evaluate this sum in different orders; one bound covers them all [A.chain-rule].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from calibrant.exact.formats import UNROUNDED, Format
from calibrant.exact.numbers import _UP, Exact, gamma, to_float
from calibrant.exact.scalars import MP, Number, computed, constant, gather, product, scatter

_ELEMENTARY = 8
"""The roundings that four units in the last place are worth: what an elementary function adds [A.elementary]."""

_Factor = Number
_Combined = tuple[Number, list[tuple["_Node", _Factor]]]


@dataclass(eq=False)
class _Node:
    """A value, and the values that it was made of, each with the derivative by it, as far as they depend on the parameters."""

    number: Number
    operands: list[tuple[_Node, _Factor]] = field(default_factory=list)
    varies: bool = False


def derivatives(instructions: Sequence[Sequence[Any]], result: int, params: Exact) -> tuple[Exact, Exact]:
    """The value of a program, (), and its gradient, (p,)."""
    form = params.form
    leaves = [_Node(x, varies=True) for x in scatter(params, form)]
    tape, values = list(leaves), list[Any]([np.array(leaves, dtype=object)])
    for name, *operands in instructions:
        if name == "constant":
            made: Any = _Node(constant(operands[0], form))
        elif name == "index":
            made = values[operands[0]][operands[1]]
        else:
            made = _instruction(name, *(values[k] for k in operands))
            tape += made.flat if isinstance(made, np.ndarray) else [made]
        values.append(made)
    with np.errstate(all="ignore"):
        end = values[result]
        return gather([end.number], (), form), _gradient(end, tape, leaves, form)


def _instruction(name: str, *operands: Any) -> Any:
    """A node, or a column of them."""
    if name in ("sum", "mean"):
        return _node(_mean(list(operands[0].flat), divided=name == "mean"))
    columns = np.broadcast_arrays(*(np.array(x, dtype=object) for x in operands))
    if not columns[0].shape:
        return _node(_RULES[name](*(x.item() for x in columns)))
    return np.array([_node(_RULES[name](*nodes)) for nodes in zip(*columns, strict=True)], dtype=object)


def _node(combined: _Combined) -> _Node:
    number, operands = combined
    operands = [(node, factor) for node, factor in operands if node.varies]
    return _Node(number, operands, varies=bool(operands))


def _widened(x: Number, roundings: int) -> Number:
    """The same number after so many roundings more."""
    return x.within((x.err + gamma(roundings, x.form) * (x.size + x.err) + x.form.tiny) * _UP)


def _computed(value: Any, passed: float, form: Format) -> Number:
    """The value of an elementary function, with the error that its argument passes on [A.elementary]."""
    return _ranged(_widened(computed(value, passed * _UP, form), _ELEMENTARY))


def _ranged(x: Number) -> Number:
    """The number, of which nothing is claimed where it may overflow [A.range]."""
    return x if x.size + x.err <= x.form.largest else x.within(math.inf)


def _real(x: Number) -> Any:
    return MP.mpf((x.m, x.e))


def _unclaimed(form: Format) -> Number:
    return Number(0, 0, math.inf, form)


def _mean(nodes: list[_Node], *, divided: bool) -> _Combined:
    """The sum of a column, or its mean: divided before the sum or after it [A.sums, A.mean]."""
    n, form = len(nodes), nodes[0].number.form
    over = n if divided else 1
    m: Fraction = sum((node.number.fraction() for node in nodes), Fraction(0)) / over
    roundings = n - 1 + (2 if over & (over - 1) else 0)
    reach = sum(node.number.size + node.number.err for node in nodes)
    err = (sum(node.number.err for node in nodes) + gamma(roundings, form) * reach) / over + n * (
        form.tiny if divided else form.flushed
    )
    total = scatter(Exact(m.numerator, 0, m.denominator, err * _UP, form), form)[0]
    share = product([constant(1.0, form)], [constant(float(over), form)])
    return _ranged(total), [(node, share) for node in nodes]


def _sum(x: _Node, y: _Node) -> _Combined:
    one = constant(1.0, x.number.form)
    return x.number + y.number, [(x, one), (y, one)]


def _difference(x: _Node, y: _Node) -> _Combined:
    one = constant(1.0, x.number.form)
    return x.number - y.number, [(x, one), (y, -one)]


def _product(x: _Node, y: _Node) -> _Combined:
    return x.number * y.number, [(x, y.number), (y, x.number)]


def _quotient(x: _Node, y: _Node) -> _Combined:
    """x / y, also as x times a power; its derivatives 1 / y and -x / y^2, in any order of factors and divisors."""
    form = x.number.form
    if not y.number.least():
        return _unclaimed(form), [(x, _unclaimed(form)), (y, _unclaimed(form))]
    share = _widened(product([constant(1.0, form)], [y.number]), _ELEMENTARY)
    value = _widened(product([x.number], [y.number]), _ELEMENTARY)
    return _ranged(value), [(x, share), (y, _widened(-(x.number * share * share), 2))]


def _power(x: _Node, y: _Node) -> _Combined:
    """x ** y; its derivatives y x ** (y - 1), also from the power itself, and x ** y log x."""
    base, exponent = x.number, y.number
    if y.varies:
        value, log = _raised(base, exponent), _logarithm(base)
        by_y = [(y, _widened(value * log, 2))]
    else:
        value, by_y = _raised(base, exponent), []
    return value, [(x, _widened(exponent * _raised(base, exponent, less=1), 4)), *by_y]


def _raised(base: Number, exponent: Number, less: int = 0) -> Number:
    """base ** (exponent - less)."""
    form, power = base.form, exponent.fraction() - less
    if power.denominator == 1 and not exponent.err and (power >= 0 or base.least()):
        near = to_float(abs(base.fraction())) * _UP + base.err if power >= 1 else base.least()
        steep = abs(float(power)) * near ** float(power - 1) * _UP if power else 0.0
        return _computed(_real(base) ** int(power), steep * base.err, form)
    if not base.m > 0 or not base.least():
        return _unclaimed(form)
    log, y = MP.log(_real(base)), _real(exponent) - less
    slip = (abs(float(y)) + exponent.err) * base.err / base.least() + abs(float(log)) * exponent.err
    slip += less * form.u * abs(float(log)) * (abs(float(y)) + 1)  # the exponent less 1 is rounded
    value = MP.exp(y * log)
    return _computed(value, float(value) * math.expm1(min(slip * _UP, 700.0)), form)


def _logarithm(x: Number) -> Number:
    if not x.m > 0 or not x.least():
        return _unclaimed(x.form)
    return _computed(MP.log(_real(x)), x.err / x.least(), x.form)


def _exp(x: _Node) -> _Combined:
    if not x.number.size + x.number.err < 700:
        return _unclaimed(x.number.form), [(x, _unclaimed(x.number.form))]
    value = MP.exp(_real(x.number))
    number = _computed(value, float(value) * math.expm1(x.number.err), x.number.form)
    return number, [(x, number)]


def _log(x: _Node) -> _Combined:
    form = x.number.form
    slope = product([constant(1.0, form)], [x.number]) if x.number.least() else _unclaimed(form)
    return _logarithm(x.number), [(x, _widened(slope, _ELEMENTARY))]


def _tanh(x: _Node) -> _Combined:
    """The derivative is 1 - tanh^2, or one over the square of the hyperbolic cosine."""
    form = x.number.form
    if not x.number.size + x.number.err < 700:
        return _unclaimed(form), [(x, _unclaimed(form))]
    t = _computed(MP.tanh(_real(x.number)), x.number.err, form)
    return t, [(x, _widened(constant(1.0, form) - t * t, 2 * _ELEMENTARY + 2))]


def _maximum(x: _Node, y: _Node) -> _Combined:
    """The larger of two. Where they may be equal, nothing is claimed."""
    form = x.number.form
    larger = (x.number + -y.number).sign()
    if not larger:
        return _unclaimed(form), [(x, _unclaimed(form)), (y, _unclaimed(form))]
    chosen = x if larger > 0 else y
    return chosen.number, [(chosen, constant(1.0, form))]


_RULES: dict[str, Callable[..., _Combined]] = {
    "+": _sum,
    "-": _difference,
    "*": _product,
    "/": _quotient,
    "**": _power,
    "exp": _exp,
    "log": _log,
    "tanh": _tanh,
    "maximum": _maximum,
}
"""For each operation the value, with the error of any sensible evaluation, and the derivatives by its operands."""


def _gradient(end: _Node, tape: list[_Node], leaves: list[_Node], form: Format) -> Exact:
    """The derivative by each leaf, with the bound on its error [A.chain-rule].

    `size` is the sum over paths of the products of the factors' sizes, `wider` what it grows by if each factor is larger by its error,
    and `roundings` the most that a term takes part in: at each edge one of a product, and as many of sums as meet there.
    """
    zero = Number(0, 0, 0.0, UNROUNDED, 0.0)
    uses: dict[_Node, int] = {}
    for node in tape:
        for operand, _ in node.operands:
            uses[operand] = uses.get(operand, 0) + 1
    true, size, wider, roundings = {end: constant(1.0, UNROUNDED)}, {end: 1.0}, {end: 0.0}, {end: 0}
    for node in reversed(tape):
        if node not in size:
            continue
        for operand, factor in node.operands:
            f = Number(factor.m, factor.e, 0.0, UNROUNDED)
            true[operand] = true.get(operand, zero) + true[node] * f
            size[operand] = (size.get(operand, 0.0) + size[node] * factor.size) * _UP
            more = (factor.size + factor.err) * wider[node] + factor.err * size[node]
            wider[operand] = (wider.get(operand, 0.0) + more) * _UP
            meeting = max(uses[operand], len(node.operands))
            roundings[operand] = max(roundings.get(operand, 0), roundings[node] + meeting)
    reach: dict[_Node, float] = dict.fromkeys(leaves, 1.0)
    for node in tape[len(leaves) :]:
        reach[node] = sum(reach[operand] * (f.size + f.err) for operand, f in node.operands) * _UP
    widest = max(size[node] + wider[node] for node in size)
    steepest = max(reach[node] for node in size)
    largest = max(node.number.size + node.number.err for node in size)
    fits = max(widest, steepest, largest * largest) <= form.largest
    lost = form.tiny * 2 * len(tape) * (1 + widest) * (1 + steepest)
    found = []
    for leaf in leaves:
        if leaf not in size:
            found.append(Number(0, 0, 0.0, form, 0.0))
            continue
        err = (wider[leaf] + gamma(roundings[leaf], form) * (size[leaf] + wider[leaf]) + lost) * _UP
        slope = true[leaf]
        found.append(Number(slope.m, slope.e, err if fits else math.inf, form))
    return gather(found, (len(leaves),), form)
