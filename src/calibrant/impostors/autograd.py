"""Impostors of autograd: the walk, what passes leave, the steps and loops that use gradients, and the mode."""

import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from calibrant.impostors import kinds
from calibrant.impostors.correct import join
from calibrant.impostors.descent import along
from calibrant.impostors.kinds import Call, Change, checked, impostors_of, overwritten, part
from calibrant.impostors.machine import ZEROED, Value, contribution
from calibrant.protocol.straight_line import Written
from calibrant.strategies import of_steps, squared_distance

COMPOSITION, QUOTIENTS, ELEMENTARY, CHAIN = (
    f"autograd.{name}" for name in ("composition", "quotients", "elementary", "long-chain")
)
GRAPH = f"autograd.shared-node {COMPOSITION} {QUOTIENTS}? {ELEMENTARY}? {CHAIN}?"
COST = f"{GRAPH} gradient.cost"
COMPOSED = f"{COMPOSITION} autograd.shared-node {QUOTIENTS}? {ELEMENTARY}? {CHAIN}?"
SHARED = "autograd.shared-graph"
NONE, RESET, PURE, LOOP = "autograd.none-before", "autograd.reset", "autograd.pure", "autograd.loop"
BATCHES = "autograd.three-batches autograd.accumulates"
ADDED = "autograd.accumulates autograd.three-batches autograd.separate-graphs"
STEP, RECORDED = "autograd.no-grad-update", "autograd.recorded-update"
STEPS = f"{STEP} autograd.three-batches"
RESTORED, ENABLED = "autograd.mode-restored", "autograd.set-grad-enabled"

# The walk, and differences


def _depth_first(result: Value, again: bool) -> Iterator[Value]:
    """What a result was computed from, in the order of a search that reaches a value once, or again along each path."""
    waiting, found = [result], list[Value]()
    while waiting and len(found) < 10_000:
        value = waiting.pop()
        if again or value not in found:
            found.append(value)
            yield value
            waiting += [operand for operand, _ in value.operands]
    if waiting:
        raise RecursionError("ten thousand values are walked, and there are more")


def _recursively(result: Value) -> Iterator[Value]:
    """The values of a tape that is short enough for a walk that calls itself."""
    if len(result.tape) > 900:
        raise RecursionError("maximum recursion depth exceeded")
    return reversed(result.tape)


def _every_end(result: Value) -> dict[Value, Any]:
    used = {operand for value in result.tape for operand, _ in value.operands}
    ends = [value for value in result.tape if value.operands and value not in used]
    return {value: type(value.data)(1) for value in [*ends, result]}


def saved(found: Callable[[Value], Any]) -> Change:
    """A walk that finds something else, unless it is None, where the value of an operation was saved."""
    return lambda c: c(
        contribution=lambda grad, x: (
            grad * found(x) if getattr(x, "operands", ()) and found(x) is not None else contribution(grad, x)
        )
    )


def of_parameters(**methods: Callable[..., Any]) -> Change:
    """A walk of a loss whose parameters are values with some methods changed; each gets the parameter and the other operands."""
    kind = type("Parameter", (Value,), methods)

    def changed(c: Call) -> Any:
        def loss(params: Any) -> Any:
            return c.loss(np.array([kind(x.data, x.tape, [(x, 1)]) for x in params]))

        return c(loss=loss)

    return changed


def of_columns(**methods: Callable[..., Any]) -> Change:
    """A walk of a loss whose column of parameters has some methods changed."""
    kind = type("Column", (np.ndarray,), methods)
    return lambda c: c(loss=lambda params: c.loss(params.view(kind)))


def power(by_base: Callable[[Any, Any], Any], by_exponent: Callable[[Any, Any], Any] | None = None) -> Change:
    """A walk in which powers of parameters have other derivatives: functions of base and exponent, and None for the right one."""

    def raised(x: Value, y: Any) -> Value:
        right = Value.__pow__(x, y)
        if by_exponent is None:
            return x.made(right.data, (x, by_base(x.data, y.data if isinstance(y, Value) else type(x.data)(y))))
        return (
            x.made(right.data, *right.operands[:1], (y, by_exponent(x.data, y.data))) if isinstance(y, Value) else right
        )

    return of_parameters(__pow__=raised)


walk = impostors_of("automatic_gradient", exactly=False)
walk("power-without-factor", "the derivative of a power is 1")(
    power(lambda x, y: 1), f"{COMPOSITION} {QUOTIENTS}", "cool-japan/scirs#103"
)
walk("exponent-not-in-front", "the derivative of a power by its base has no factor n")(
    power(lambda x, y: x ** (y - 1)), f"{QUOTIENTS} {COMPOSITION}"
)
walk("exponent-not-reduced", "the derivative of x**n by its base is n x**n, not n x**(n - 1)")(
    power(lambda x, y: y * x**y), f"{QUOTIENTS} {COMPOSITION}"
)
walk("exponent-is-a-constant", "the exponent of a power gets no gradient")(
    power(lambda x, y: 0, lambda x, y: 0), QUOTIENTS
)
walk("exponent-without-logarithm", "the derivative of a power by its exponent has no factor log x")(
    power(lambda x, y: 0, lambda x, y: x**y), QUOTIENTS
)
walk("divisor-is-a-constant", "the divisor of a quotient gets no gradient")(
    of_parameters(__truediv__=lambda x, y: x.made((x / y).data, (x, 1.0 / x.lifted(y).data))), QUOTIENTS
)
walk("divisor-not-squared", "the derivative of a reciprocal is -1 / x, not -1 / x**2")(
    of_parameters(__rtruediv__=lambda x, y: x.made(y / x.data, (x, -y / x.data))), QUOTIENTS
)
walk("sum-averages", "the sum of a column is its mean")(
    of_columns(sum=lambda column: np.asarray(column).mean()), f"{COMPOSITION} {ELEMENTARY}"
)
walk("mean-undivided", "the derivative of a mean is 1 for each element, not 1 / n")(
    of_columns(mean=lambda column: column[0].made(np.mean([x.data for x in column]), *((x, 1) for x in column))),
    QUOTIENTS,
)
walk("exp-as-a-power", "the derivative of exp x is x exp(x - 1), as if it were a power of a constant exponent")(
    of_parameters(exp=lambda x: x.made(np.exp(x.data), (x, x.data * np.exp(x.data - 1)))), ELEMENTARY
)
walk("log-cuts-the-graph", "a logarithm passes no gradient on")(
    of_parameters(log=lambda x: x.made(np.log(x.data))), ELEMENTARY
)
walk("tanh-of-its-argument", "the derivative of tanh x is 1 - x**2, of the argument and not of the value")(
    of_parameters(tanh=lambda x: x.made(np.tanh(x.data), (x, 1 - x.data * x.data))), ELEMENTARY
)
walk("maximum-to-both", "the larger of two values passes its gradient on to both")(
    of_parameters(maximum=lambda x, y: x.made(max(x.data, y.data), (x, 1), (y, 1))), ELEMENTARY
)
walk("recursive", "the backward walk calls itself for each value, and a long chain overflows the recursion limit")(
    lambda c: c(order=_recursively), CHAIN
)
walk("constant-on-the-left-turned", "a constant minus a value is computed as the value minus the constant")(
    of_parameters(__rsub__=lambda x, y: NotImplemented if isinstance(y, Value) else x - y), f"{COMPOSITION} {QUOTIENTS}"
)
walk("first-use-only", "on the way back each contribution replaces the one before, so that the first use alone counts")(
    lambda c: c(added=lambda before, new: new), GRAPH, "PaddlePaddle/Paddle#3689"
)
walk("later-contributions-lost", "on the way back a gradient that is there stays, so that the last use alone counts")(
    lambda c: c(added=lambda before, new: before), GRAPH
)
walk(
    "passed-on-when-first-reached", "a value passes its gradient on before the gradients of its other uses have arrived"
)(lambda c: c(order=lambda result: _depth_first(result, again=False)), GRAPH)
walk("once-per-path", "a value passes on its whole gradient so far each time a path reaches it")(
    lambda c: c(order=lambda result: _depth_first(result, again=True)), GRAPH, "karpathy/micrograd#2 sebgao/cTensor#5"
)
walk("difference-as-a-sum", "the sign of a subtracted value is lost on the way back")(
    lambda c: c(contribution=lambda grad, factor: grad if isinstance(factor, int) else contribution(grad, factor)),
    COMPOSED,
    "KhawajaAbaid/micrograd_c#1",
)
walk(
    "every-end-is-a-loss", "the backward walk starts at every recorded value that nothing uses, not at the loss alone"
)(lambda c: c(seeds=_every_end), f"{COMPOSITION} {QUOTIENTS} {ELEMENTARY}")
walk(
    "cut-from-the-graph", "the loss is copied out of the graph as a plain number, so that its gradient is silently zero"
)(lambda c: c(seeds=lambda result: {}), COMPOSED, "paiml/aprender#3034 guopengf/FL-MRCM#10")
walk("started-at-the-loss", "the backward walk starts with the value of the loss, not with 1")(
    lambda c: c(seeds=lambda result: {result: result.data}), COMPOSED
)
walk("buffer-shared", "the operands of a sum share one buffer: adding in place to one gradient changes the other")(
    lambda c: c(
        seeds=lambda result: {result: np.ones_like(result.data)},
        contribution=lambda grad, factor: grad if factor == 1 else np.array(contribution(grad, factor)),
        added=operator.iadd,
    ),
    GRAPH,
    "Oneflow-Inc/oneflow#8248 pytorch/pytorch#59828 apache/mxnet#17989",
)
walk("saved-value-overwritten", "all operations save their values in one place, which keeps only the last")(
    saved(lambda factor: factor.tape[-1].data), GRAPH, "PaddlePaddle/Paddle#37420 pytorch/pytorch#14571"
)
walk("gradient-over-the-value", "an intermediate gradient overwrites its value, which another gradient still needs")(
    saved(lambda factor: factor.grad), GRAPH, "linkedin/Liger-Kernel#272"
)
walk("in-place", "the gradient is written over the parameters")(overwritten("params", lambda c, right: right[1]), PURE)
walk.in_dtype("float64", "autograd.dtype", name="in-float64")
walk("central-differences", "the gradient is a central difference quotient, with a step of 1/2")(
    part(1, lambda grad, c: c.ask("difference_gradient", delta=c.params.dtype.type(0.5))), COST
)


class Column(np.ndarray[Any, Any]):
    """A column of values. A number that meets it gets what its last element passes on, and not the sum."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        plain = [x.view(np.ndarray) if isinstance(x, Column) else self._alone(x) for x in inputs]
        found = getattr(ufunc, method)(*plain, **options)
        return found.view(Column) if isinstance(found, np.ndarray) else found

    def _alone(self, x: Any) -> Any:
        return np.array([*(Value(x.data, x.tape) for _ in self[1:]), x]) if isinstance(x, Value) else x


walk("number-used-once", "a number that is combined with a column gets the gradient of the last element, not the sum")(
    lambda c: c(loss=lambda params: c.loss(params.view(Column))), f"{COMPOSITION} {QUOTIENTS}?"
)

slope = impostors_of("difference_gradient", exactly=False)
slope("forward", "it takes forward differences, all from the loss at the parameters themselves")(
    lambda c: (np.stack([c.loss(c.params + h) for h in np.diag(c.params * 0 + c.delta)]) - c.loss(c.params)) / c.delta,
    "gradient.cost gradient.central",
    "apache/mxnet#3693",
)
slope("evaluated-twice", "the loss is evaluated twice at every point, at twice the cost")(
    lambda c: c(loss=lambda place: [c.loss(place), c.loss(place)][1]), "gradient.cost"
)
slope("over-delta", "the difference is divided by one step, although its points are two steps apart")(
    kinds.factor(2), "gradient.central", "drizopoulos/JMbayes2#9"
)
slope("twice-the-step", "the parameters are moved by twice the step that is given")(
    lambda c: c(delta=c.delta * 2), "gradient.central"
)
slope("of-higher-order", "a formula of four evaluations takes away the first term of the truncation error")(
    lambda c: (4 * c() - c(delta=c.delta * 2)) / 3, "gradient.central gradient.cost"
)
slope("along-all", "all parameters are moved at once, so that each component is the sum of all")(
    lambda c: c().sum() + c.params * 0, "gradient.central"
)

# Passes


def _stale(c: Call) -> Any:
    passes = c()
    for before, now, loss in zip(passes, passes[1:], c.losses[1:], strict=False):
        used = c.correct.automatic_gradient(loss, c.params, unreached=np.nan)[1]
        now[1] = np.where(np.isnan(used), before[1], now[1])
    return passes


def _kept(c: Call) -> Any:
    place = c.params.shape, c.params.dtype.name
    passes = c(grad=c.correct.memory.get(place))
    c.correct.memory[place] = passes[-1][1]
    return passes


backward = impostors_of("backward", exactly=False)
backward("overwriting", "a pass overwrites the gradient that is there, and does not add to it")(
    lambda c: c(added=lambda before, new: new), f"{BATCHES} autograd.separate-graphs", "apache/mxnet#13660"
)
backward("zeros-at-first", "before the first pass the gradient is zero, not None")(lambda c: c(grad=c.params * 0), NONE)
backward("never-reset", "gradients are never reset, whatever `zero_grad` says")(lambda c: c(zero_grad="never"), RESET)
backward("zero-for-none", "a reset `to-none` leaves zeros, not None")(
    lambda c: c(zero_grad=c.zero_grad.replace("none", "zero")), RESET
)
backward("none-for-zero", "a reset `to-zero` leaves None, not zeros")(
    lambda c: c(zero_grad=c.zero_grad.replace("zero", "none")), RESET
)
backward("zeroed-after-the-pass", "the gradient is zeroed after the pass, so that nothing is left to step with")(
    lambda c: [[found, ZEROED[c.zero_grad](left)] for found, left in c()], f"{RESET} {NONE}?"
)
backward("stale-where-unused", "a parameter that a loss does not use keeps the gradient of the previous pass")(
    _stale, RESET, "apache/mxnet#8673"
)
backward("halved-with-each-pass", "the gradient that is there and the new one are averaged, not added")(
    lambda c: c(added=lambda before, new: (before + new) / 2), f"{ADDED} {RESET}"
)
backward("cut-off", "the losses are cut from their graphs, so that no pass leaves a gradient and nothing is raised")(
    lambda c: [[None, None] for _ in c.losses], f"{ADDED} {RESET}"
)
backward("kept-between-calls", "the gradient that a call leaves is still there at the next call", repeats=False)(
    _kept, f"{NONE} autograd.accumulates? autograd.three-batches? autograd.separate-graphs?"
)
backward("not-copied", "all passes list one gradient array, which shows its final values")(
    lambda c: (passes := c()) and [[found, passes[-1][1]] for found, _ in passes], f"{BATCHES} {RESET}"
)
backward("everything-recorded-is-walked", "a pass also starts from values that were computed beside the loss")(
    lambda c: c(seeds=_every_end), f"autograd.separate-graphs autograd.accumulates {RESET}"
)
backward("gradient-in-the-parameters", "the gradient is written over the parameters")(
    overwritten("params", lambda c, right: right[-1][1]), PURE
)
backward.in_dtype("float64", "autograd.dtype", name="in-float64")


def _refused_twice(c: Call) -> Any:
    if len(set(c.order)) < len(c.order):
        raise RuntimeError("the graph was freed by the first pass")
    return c()


shared = impostors_of("backward_shared", exactly=False)
shared("intermediate-gradients-kept", "a pass also passes on what an earlier pass has left in the intermediate values")(
    lambda c: c(forgotten=lambda tape, leaves: leaves), SHARED, "karpathy/micrograd#102"
)
shared("walked-once", "a graph that was walked backward cannot be walked again, although it should be kept")(
    _refused_twice, SHARED
)
shared("overwriting", "a pass overwrites the gradient that is there, and does not add to it")(
    lambda c: c(added=lambda before, new: new), SHARED
)
shared("averaged", "the gradient that is there and the new one are averaged, not added")(
    lambda c: c(added=lambda before, new: (before + new) / 2), SHARED
)
shared("gradient-in-the-parameters", "the gradient is written over the parameters")(
    overwritten("params", lambda c, right: right[-1]), PURE
)
shared.in_dtype("float64", "autograd.dtype", name="in-float64")

# Steps by hand

descend = impostors_of("descend", exactly=False)
descend("gradients-accumulate", "gradients are never reset, so that each step uses the sum of all of them")(
    lambda c: c(kept=operator.add), STEP
)
descend("gradient-of-the-start", "every step uses the first gradient")(lambda c: c(kept=lambda old, new: old), STEP)
descend("rebound", "a recorded step rebinds the parameters, which are then no leaf and get no gradient from step 2 on")(
    lambda c: (steps := c())[:1] + [[steps[1][0], None, steps[0][2]] for _ in steps[1:]], STEP, "pytorch/pytorch#10065"
)
descend("rebound-under-no-grad", "an unrecorded step rebinds the parameters, so that the second pass raises")(
    lambda c: c(no_grad=c.no_grad and c.n_steps < 2), f"{STEP} autograd.dtype autograd.pure"
)
descend("loss-after-the-step", "each step logs the loss of the parameters after it, not before it")(
    lambda c: [[c.ask("automatic_gradient", params=after)[0], grad, after] for _, grad, after in c()], STEPS
)
descend("recorded-without-a-word", "a recorded step in place is accepted, although it changes a leaf of the graph")(
    lambda c: c(no_grad=True), RECORDED
)
descend("uphill", "each step climbs along the gradient")(lambda c: c(learning_rate=-c.learning_rate), STEPS)
descend("one-step-less", "it takes one step less than asked")(lambda c: c(n_steps=c.n_steps - 1), f"{STEPS} {RECORDED}")
descend("zeroed-before-the-step", "the gradient is zeroed before the step, so that nothing moves")(
    lambda c: [[value, grad * 0, after] for value, grad, after in c(learning_rate=0.0)], STEPS
)
descend("parameters-not-copied", "all steps list one parameter array, which shows its final values")(
    lambda c: (steps := c()) and [[value, grad, steps[-1][2]] for value, grad, _ in steps], STEP
)
descend("in-place", "it moves the parameters of the caller")(overwritten("params", lambda c, right: right[-1][2]), PURE)
descend("rate-in-float32", "the learning rate is rounded to float32")(
    lambda c: c(learning_rate=float(np.float32(c.learning_rate))), f"autograd.three-batches@float64 {STEP}@float64"
)
descend.in_dtype("float64", "autograd.dtype", name="in-float64")

# The loop

loop = impostors_of("manual_training_loop")
loop("gradients-accumulate", "gradients are never reset, so that each step uses the sum of all of them")(
    along(lambda run: run.keep(run.kept + run.gradient())),
    LOOP,
    "tenstorrent/tt-blacksmith#711 meta-pytorch/torchforge#71 yastrebksv/TennisCourtDetector#7",
)
loop("uphill", "each step climbs along the gradient")(along(lambda run: -run.gradient()), LOOP, "pytorch/pytorch#1871")
loop("gradient-of-the-sum", "the steps follow the gradient of the summed loss, but the mean is logged")(
    along(lambda run: run.gradient() * run.t_u.size), LOOP, "pytorch/pytorch#28993 kakaobrain/trident#66"
)
loop("zeroed-before-the-step", "the gradient is zeroed before the step, so that nothing moves")(
    along(lambda run: run.gradient() * 0), LOOP
)
loop("logged-after-the-step", "the loss of an epoch is logged after its step")(
    part(1, lambda _, c: c(n_epochs=c.n_epochs + 1)[1][1:]), LOOP
)
loop("losses-added-up", "each logged loss is the sum of all losses so far")(
    part(1, lambda losses, c: [join(*losses[: k + 1]).sum() for k in range(len(losses))]), LOOP
)
loop("last-loss-missing", "the loss of the last epoch is not logged")(part(1, lambda losses, c: losses[:-1]), LOOP)
loop("one-epoch-more", "it trains for one epoch more than it is asked for")(
    checked(lambda c: c(n_epochs=c.n_epochs + 1)), LOOP
)
loop("last-sample-dropped", "the last sample is left out")(checked(kinds.shortened("t_u", "t_c")), LOOP)
loop("in-place", "it moves the parameters of the caller")(overwritten("params", lambda c, right: right[0]), PURE)
loop.in_dtype("float64", "autograd.dtype", name="in-float64")
loop.in_dtype("float32", LOOP)

# The mode


def in_mode(left: Callable[..., bool], entered: Callable[..., bool] = lambda before, is_train: is_train) -> Change:
    """An evaluation in a mode that all share: `left` says what it is afterwards, by the mode before and whether all went well."""

    def changed(c: Call) -> Any:
        mode, returned = c.correct.memory, False
        before = mode["before"] = mode.setdefault("on", True)
        mode["on"] = entered(before, c.is_train)
        try:
            answer = c(records=lambda: mode["on"])
            returned = True
        finally:
            mode["on"] = left(mode, before, returned)
        return answer

    return changed


evaluate, forward = impostors_of("evaluate", exactly=False), impostors_of("calc_forward")
for rows, clauses in ((evaluate, f"{ENABLED} {RESTORED}"), (forward, ENABLED)):
    rows("always-recorded", "the graph is recorded in validation too")(lambda c: c(is_train=True), clauses)
    rows("mode-inverted", "the graph is recorded in validation, and not in training")(
        lambda c: c(is_train=not c.is_train), clauses
    )
    rows("zeros-where-nothing-is-recorded", "the gradient is zero, not None, where nothing is recorded")(
        part(1, lambda grad, c: c.params * 0 if grad is None else grad), clauses
    )
    rows.in_dtype("float64", "autograd.dtype", name="in-float64")
evaluate("never-recorded", "the graph is never recorded, not even in training")(
    lambda c: c(is_train=False), f"{ENABLED} {RESTORED} autograd.dtype?"
)
evaluate("not-restored-after-an-exception", "after an exception the recording mode stays as the evaluation had set it")(
    in_mode(lambda mode, before, returned: before if returned else mode["on"]), RESTORED, "Project-MONAI/MONAI#8810"
)
evaluate("simply-on-afterwards", "recording is on after each evaluation, whatever the mode was before")(
    in_mode(lambda mode, before, returned: True), RESTORED
)
evaluate("left-as-it-was-set", "after an evaluation the recording mode stays as the evaluation had set it")(
    in_mode(lambda mode, before, returned: mode["on"]), RESTORED, "deepinv/deepinv#166"
)
evaluate("never-switched-on", "training inside a validation records nothing, because recording is never switched on")(
    in_mode(lambda mode, before, returned: before, operator.and_), RESTORED
)
evaluate(
    "one-place-to-remember-the-mode", "one variable holds the previous mode, and a nested evaluation overwrites it"
)(in_mode(lambda mode, before, returned: mode["before"]), RESTORED, "pytorch/pytorch#44531")
evaluate("in-place", "the gradient is written over the parameters")(
    overwritten("params", lambda c, right: c.params if right[1] is None else right[1]), PURE
)
forward("never-recorded", "the graph is never recorded, not even in training")(lambda c: c(is_train=False), ENABLED)
forward(
    "cut-from-the-graph", "the loss is copied out of the graph as a plain number, so that its gradient is silently zero"
)(part(1, lambda grad, c: c.params * 0 if c.is_train else None), ENABLED, "paiml/aprender#3034")
forward("summed-in-validation", "the loss is averaged in training and summed in validation")(
    part(0, lambda loss, c: loss if c.is_train else loss * c.n), ENABLED
)
forward("in-place", "the residuals are written over the readings")(
    overwritten("t_u", lambda c, right: c.correct.model(c.t_u, *c.params) - c.t_c), PURE
)

# Questions


@dataclass(frozen=True)
class Limited:
    """A loss that raises when it is evaluated more than so many times."""

    loss: Any
    times: int

    def fresh(self, subject: Any) -> Any:
        """One that has not been evaluated yet."""
        left = iter(range(self.times))

        def loss(params: Any) -> Any:
            if next(left, None) is None:
                raise ArithmeticError(f"evaluated more than {self.times} times")
            return self.loss(params)

        return loss


@dataclass(frozen=True)
class Within:
    """A loss that evaluates another one, recorded or not, and whose value shows whether that was recorded."""

    inner: Any
    is_train: bool

    def fresh(self, subject: Any) -> Any:
        """One that asks this subject."""

        def loss(params: Any) -> Any:
            place = subject.array([2.0, -1.0])
            if self.inner is _raising:
                subject.refuses("evaluate", self.inner, place, self.is_train)
                return _SHARED(params)
            inner = self.inner.fresh(subject) if isinstance(self.inner, Within) else self.inner
            _, gradient = subject.evaluate(inner, place, self.is_train)
            return _SHARED(params) * (2.0 if gradient is None else 3.0)

        return loss


def _raising(params: Any) -> Any:
    """A loss that cannot be computed."""
    raise ArithmeticError


def chain(step: str, length: int) -> Written:
    """A parameter that is computed from itself again and again, by a step in `x`."""
    return Written(f"lambda params: __import__('functools').reduce(lambda x, k: {step}, range({length}), params[0])")


# x y - y, then its square, then times 2 x; both parameters are used several times.
_SHARED = of_steps(2, ("*", 0, 1), ("-", 2, 1), ("*", 3, 3), ("*", 0, 2.0), ("*", 4, 5))
# x + x, with a value beside that is not used; x y alone; 2 y; x - y; and (x + y) + x, a sum whose operand is used again
_SUM = of_steps(2, ("*", 1, 1), ("+", 0, 0))
_PRODUCT, _SECOND, _AWAY = (of_steps(2, step) for step in (("*", 0, 1), ("*", 1, 2.0), ("-", 0, 1)))
_BUFFER = of_steps(2, ("+", 0, 1), ("+", 2, 0))
_TWO_LOSSES = Written("lambda params: [d := params[0] * params[1], [d * 3.0, d * d]][1]")
_SQUARES, _CUBES = squared_distance(0.5), Written("lambda params: (params * params * params).sum()")
_PLACE, _START, _HALF = np.array([2.0, -1.0]), np.array([1.0, 0.5]), np.array(0.5)
_COLUMNS = (np.array([1.0, -2.0]), np.array([0.5, 3.0]))
_MANY_DIGITS = (np.array([0.1, 2.3, -1.7, 4.9, 0.3]), np.array([0.7, -1.1, 3.3, 0.2, 0.9]))
_BOTH = (True, False)

_DEEP, _LONG = chain("x * 2.0 - x", 20), chain("x * -1.0 + 1.0", 500)


def _written(*sources: str) -> tuple[Written, ...]:
    return tuple(Written(f"lambda params: {source}") for source in sources)


_OPERATORS = _written(
    "(params ** 2).sum()",
    "(1.0 - params).sum()",
    "(params * params[0]).sum()",
    "params[0] / params[1]",
    "1.0 / params[0]",
    "params.mean()",
    "params[0] ** 3",
    "params[0].maximum(params[1])",
)
_FUNCTIONS = _written("params[0].exp()", "params[1].log()", "params[2].tanh()", "params[2] ** params[1]")

QUESTIONS = {
    "automatic_gradient": tuple(
        (loss, _PLACE)
        for loss in (*_OPERATORS, _SHARED, _SUM, _PRODUCT, _SECOND, _BUFFER, _AWAY, _DEEP, _LONG, Limited(_PRODUCT, 1))
    )
    + tuple((loss, np.array([0.0, 1.0, 2.0, 3.0])) for loss in _FUNCTIONS),
    "backward_shared": tuple((_TWO_LOSSES, _PLACE, order) for order in ([0, 1], [1, 0], [0, 0], [0, 1, 0])),
    "difference_gradient": tuple(
        (loss, _PLACE, _HALF) for loss in (_SQUARES, _CUBES, _SHARED, Limited(_PRODUCT, 4), Limited(_PRODUCT, 5))
    ),
    "backward": tuple(
        (losses, _PLACE, way) for losses in ([_SHARED, _SUM, _PRODUCT, _SECOND], [_SECOND]) for way in ZEROED
    ),
    "descend": (
        *((_SQUARES, _PLACE, 0.25, *steps) for steps in ((3, True), (1, True), (1, False))),
        # A step from 0, against -1: the rate itself, rounded once.
        (_SQUARES, np.array([0.0]), 0.1, 1, True),
    ),
    "manual_training_loop": (
        *((n_epochs, 0.125, _START, *_COLUMNS) for n_epochs in (3, 1)),
        (3, 0.01, np.array([0.3, 0.7]), *_MANY_DIGITS),
        *((*schedule, _START, *_COLUMNS) for schedule in ((1, -0.125), (1, math.nan), (-1, 0.125))),
        *((1, 0.125, _START, np.ones(u), np.ones(c)) for u, c in ((3, (3, 1)), ((3, 1), (3, 1)), (3, 2))),
    ),
    "evaluate": (
        *((loss, _PLACE, is_train) for loss in (_SHARED, _SECOND) for is_train in _BOTH),
        *((Within(inner, on), _PLACE, is_train) for inner in (_SECOND, _raising) for on in _BOTH for is_train in _BOTH),
        *((Within(Within(_SECOND, is_train), not is_train), _PLACE, is_train) for is_train in _BOTH),
    ),
    "calc_forward": tuple((_START, *columns, on) for columns in (_COLUMNS, _MANY_DIGITS) for on in _BOTH),
}
