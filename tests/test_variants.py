"""Legitimate variants: a target is held to the variant that it declares; an undeclared variant is recognized."""

from __future__ import annotations

import contextlib
import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import PYTORCH, bare, checked, f32, subject, target

import calibrant
from calibrant import adapters, exact
from calibrant.adapters import numpy_target
from calibrant.book.clauses import book_folder
from calibrant.diagnosis import explaining as naming
from calibrant.diagnosis import variants
from calibrant.impostors import Impostor, catalog, select
from calibrant.impostors.battery import BATTERY
from calibrant.impostors.planting import target_from_impostor
from calibrant.judge import Disagreement, Tally, agree, tallying
from calibrant.protocol.declarations import CONVENTIONS, GENERAL, followed
from calibrant.protocol.errors import TargetError
from calibrant.strategies import Optimization

right = numpy_target.optimize
IMPOSTORS = {one.name: one for one in catalog() if one.operation == "optimize"}
VARIANTS = [one for one in IMPOSTORS.values() if one.convention[0]]
each_variant = pytest.mark.parametrize("variant", VARIANTS, ids=lambda one: one.name)


def optimize_of(name: str) -> Any:
    return target_from_impostor(IMPOSTORS[name]).implementation.optimize


def test_every_convention_belongs_to_an_optimizer_and_each_of_its_variants_is_an_impostor() -> None:
    values = [(convention, value) for convention, values in CONVENTIONS.items() for value in values[1:]]

    assert {name.split(".")[0] for name in CONVENTIONS} == set(BATTERY)
    assert {name: GENERAL[name][0] for name in GENERAL} == {name: followed({})[name] for name in GENERAL}
    assert sorted(one.convention for one in VARIANTS) == sorted(values)
    assert {one.kind for one in VARIANTS} == {"variant"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_variant
def test_an_undeclared_variant_is_named(variant: Impostor, dtype: str) -> None:
    told = variants.explanation(subject(dtype, optimize=optimize_of(variant.name)), variant.applies_to[0])

    convention, value = variant.convention
    declare = {convention: value}
    if variant.name == "sgd-nesterov-look-ahead":
        assert "ignores nesterov, which cannot be told apart here" in told
        assert told.endswith(
            f"if its gradients are meant to be taken at the point ahead, declare conventions = {declare}"
        )
    else:
        assert (
            told
            == f"; its answers are those of {convention} = {value}: if that is meant, declare conventions = {declare}"
        )


@each_variant
def test_a_variant_is_explained_once_or_declared(variant: Impostor) -> None:
    """The failure says what to declare; it does not name the variant as an impostor too."""
    name, (convention, value) = variant.applies_to[0], variant.convention
    declaring = subject(optimize=optimize_of(variant.name), conventions={convention: value})
    silent = subject(optimize=optimize_of(variant.name))
    silent.optimize(name, {}, [np.ones((1, 1))], [[np.ones((1, 1))]])

    assert declaring.follow[convention] == value
    assert variants.explanation(declaring, name) == ""
    assert naming.explaining(silent, variant.main) == []


@pytest.mark.parametrize(("optimizer", "conventions"), [("adam", {"adam.epsilon": "inside"}), ("nadam", {})])
def test_a_fault_is_named_beside_a_declared_variant_and_of_another_optimizer(optimizer: str, conventions: Any) -> None:
    optimize = target_from_impostor(IMPOSTORS["betas-swapped"], conventions=conventions).implementation.optimize
    target = subject(optimize=optimize, conventions=conventions)
    target.optimize(optimizer, {}, [np.ones(1)], [[np.ones(1)]])

    assert [one.name for one in naming.explaining(target, f"optimizer.{optimizer}")] == ["betas-swapped"]
    assert naming.explaining(target, "optimizer.zero-rate") == []


def test_an_impostor_is_named_only_for_clauses_of_its_list() -> None:
    """A rule that nothing checks is wrong for a reason of its own, whatever values the optimizer takes beside it."""
    target = subject(optimize=optimize_of("values-unchecked"))
    target.optimize("nadam", {}, [np.ones(1)], [[np.ones(1)]])

    assert [one.name for one in naming.explaining(target, "optimizer.invalid")] == ["values-unchecked"]
    for clause in ("optimizer.nadam", "optimizer.zero-rate", "optimizer.coupled-decay"):
        assert naming.explaining(target, clause) == []


def nesterov_loop(ahead: bool) -> Any:
    """A training loop by Nesterov's momentum, with gradients taken ahead of the parameters or at them."""

    def training_loop(n_epochs: int, optimizer: Any, params: Any, t_u: Any, t_c: Any, *validation: Any) -> Any:
        before = params
        for _ in range(n_epochs):
            rolled = params + optimizer["momentum"] * (params - before)
            place = rolled if ahead else params
            slope = numpy_target.grad_fn(t_u, t_c, numpy_target.model(t_u, *place), *place)
            before, params = params, rolled - optimizer["lr"] * slope
        return params, [], []

    return training_loop


@pytest.mark.parametrize(
    ("ahead", "told"),
    [
        (
            True,
            "; its answers are those of sgd.nesterov = look-ahead: if that is meant, declare conventions = {'sgd.nesterov': 'look-ahead'}",
        ),
        (False, "; its answers are those of a momentum that ignores nesterov, as its training loop does"),
    ],
)
def test_a_momentum_that_ignores_nesterov_is_not_told_to_look_ahead(ahead: bool, told: str) -> None:
    """Of gradients that it is handed, an optimizer makes the same in both cases; in a loop they differ."""
    optimize = optimize_of("sgd-nesterov-look-ahead")

    assert variants.explanation(subject(optimize=optimize, training_loop=nesterov_loop(ahead)), "sgd") == told


@pytest.mark.parametrize("loop", [True, False])
def test_look_ahead_is_accepted_of_a_target_whose_loop_shows_it(loop: bool) -> None:
    """Declared of an optimizer alone, it would make plain momentum conform."""
    name = "test_nesterov_adds_the_new_buffer_to_the_gradient"
    operations = {"training_loop": nesterov_loop(True)} if loop else {}
    target = subject(
        optimize=optimize_of("sgd-nesterov-look-ahead"), conventions={"sgd.nesterov": "look-ahead"}, **operations
    )
    run = Optimization("sgd", {"lr": 0.5, "momentum": 0.5, "nesterov": True}, [np.ones(1)], [[np.ones(1)]] * 2)

    with contextlib.nullcontext() if loop else pytest.raises(pytest.skip.Exception, match="training loop alone"):
        bare(name)(target, run)


def refusing(name: str, hyperparameters: dict[str, Any], params: Any, grads: Any) -> Any:
    raise NotImplementedError


UNEXPLAINED = [
    *[(name, right) for name in BATTERY],
    ("adam", optimize_of("betas-swapped")),
    ("adam", optimize_of("correction-one-late")),
    ("sgd", optimize_of("momentum-on-the-gradient")),
    ("adam", refusing),
    ("adam", lambda *arguments: 1 / 0),
]


@pytest.mark.parametrize(("name", "optimize"), UNEXPLAINED)
def test_a_target_that_follows_pytorch_or_is_wrong_has_no_variant_to_declare(name: str, optimize: Any) -> None:
    assert variants.explanation(subject(optimize=optimize), name) == ""


def test_two_variants_at_once_are_named_together() -> None:
    """As in Keras: the epsilon of the paper's second form, and a decoupled decay. A request that is not served decides nothing."""

    def keras(name: str, hyperparameters: dict[str, Any], params: Any, grads: Any) -> Any:
        if hyperparameters.get("amsgrad"):
            raise NotImplementedError
        return optimize_of("adam-epsilon-hat")(name, {**hyperparameters, "decoupled_weight_decay": True}, params, grads)

    told = variants.explanation(subject(optimize=keras), "adam")

    assert "adam.epsilon = hat and adam.decay = decoupled:" in told


def test_the_target_is_asked_once_and_no_call_is_kept() -> None:
    asked = []

    def counting(name: str, *arguments: Any) -> Any:
        asked.append(name)
        return optimize_of("adam-epsilon-hat")(name, *arguments)

    target = subject(optimize=counting)
    target.optimize("adam", {}, [np.ones(1)], [[np.ones(1)]])
    told = {variants.explanation(target, "adam") for _ in range(3)}

    assert len(told) == 1
    assert len(asked) == 1 + len(BATTERY["adam"])
    assert len(target.calls) == 1
    assert target.tally.judged == 0


def test_unknown_conventions_are_refused_with_the_nearest() -> None:
    for name, value, said in (
        ("adam.epsilo", "hat", "conventions names 'adam.epsilo', which is none; nearest: adam.epsilon"),
        ("adam.epsilon", "hut", "conventions says adam.epsilon = 'hut', not one of outside, inside, hat; nearest: hat"),
    ):
        with pytest.raises(TargetError, match=said):
            subject(optimize=right, conventions={name: value})


def listed(page: str) -> dict[str, dict[str, str]]:
    """The conventions of a page of the book, each with its values in order, and who follows them."""
    text, rows = (book_folder() / page).read_text(encoding="utf-8"), dict[str, dict[str, str]]()
    row = re.compile(r"^\| (?:`([a-z]+\.[a-z-]+)` )?\| `([a-z0-9-]+)`.*\|(.*)\|$", re.MULTILINE)
    for convention, value, who in row.findall(text):
        rows.setdefault(convention or list(rows)[-1], {})[value] = who
    return rows


@pytest.mark.parametrize(("page", "table"), [("optimizers.md", CONVENTIONS), ("targets.md", GENERAL)])
def test_the_book_lists_every_convention_with_its_values_in_order(page: str, table: Any) -> None:
    assert {convention: tuple(values) for convention, values in listed(page).items()} == table


CALLED = {
    "autograd_target.py": "HIPS autograd", "deepbox.cjs": "deepbox", "keras_optimizers.py keras_training.py": "keras", "mlx_target.py": "mlx",
    "mygrad_target.py": "mynn", "optax_target.py": "optax", "tfjs.cjs": "tfjs", "tinygrad_target.py": "tinygrad", "torch_target.py": "torch",
}  # fmt: skip
"""What the book calls the library of each shipped adapter that has optimizers."""


def declared(files: str) -> dict[str, str]:
    """The conventions that an adapter declares, read from its sources: not every library is here."""
    sources = [Path(adapters.__file__).with_name(file).read_text(encoding="utf-8") for file in files.split()]
    tables = [re.search(r"^ *conventions(: | = ).*?\}", x, re.DOTALL | re.IGNORECASE | re.MULTILINE) for x in sources]
    return dict(re.findall(r'"([a-z]+\.[a-z-]+)": "([a-z0-9-]+)"', " ".join(table[0] for table in tables if table)))


@pytest.mark.parametrize(("files", "library"), CALLED.items())
def test_the_book_says_of_a_library_what_its_adapter_declares(files: str, library: str) -> None:
    """It lists the library at each form that the adapter declares, and at no other one."""
    said, name = declared(files), re.compile(rf"(^|[ ,;]){library}(?! unless)($|[ ,;])")
    rows = {
        (convention, value): bool(name.search(who.replace(", whose", " whose")))
        for convention, values in (listed("optimizers.md") | listed("targets.md")).items()
        for value, who in values.items()
        if convention != "arithmetic.subnormals"
    }

    assert [form for form in said.items() if not rows.get(form, True)] == []
    assert [
        form
        for form, listed in rows.items()
        if listed and form[0] in CONVENTIONS and followed(said)[form[0]] != form[1]
    ] == []


FLUSHING = """
import torch
from calibrant.adapters import numpy_target as right

conventions = {conventions}

def flushing(operation):
    def call(*arguments):
        torch.set_flush_denormal(True)
        try:
            return operation(*arguments)
        finally:
            torch.set_flush_denormal(False)
    return call

for name in ("model", "loss_fn", "absolute_loss", "grad_fn", "accumulated_grad", "optimize"):
    globals()[name] = flushing(getattr(right, name))
"""
SUBNORMAL = ["model.identity", "loss.absolute", "gradient.chain-rule", "accumulation.full-batch"]
OF_OPTIMIZERS = ["optimizer.sgd", "optimizer.adam", "optimizer.adamw.decoupled", "optimizer.rmsprop.centered"]


@pytest.mark.parametrize("declared", [False, True])
def test_a_machine_that_takes_subnormal_numbers_for_zero_may_say_so(tmp_path: Path, declared: bool) -> None:
    """The processor flushes them here, on request."""
    torch = pytest.importorskip("torch")
    if not torch.set_flush_denormal(False):
        pytest.skip("this processor does not take subnormal numbers for zero")
    conventions = {"arithmetic.subnormals": "flushed"} if declared else {}
    file = target(tmp_path, FLUSHING.format(conventions=conventions))

    clauses = [f"--clause={clause}" for clause in SUBNORMAL + OF_OPTIMIZERS * declared]  # a diagnosis takes long
    said, _ = checked(tmp_path, file, *clauses, "--examples=200", "--seed=1", "--workers=1")

    broken = {verdict["clause"]: verdict for verdict in said["verdicts"] if verdict["status"] != "holds"}
    assert set(broken) >= (set() if declared else set(SUBNORMAL[:3]))
    assert not (declared and broken)
    for failure in (failure for verdict in broken.values() for failure in verdict["failures"]):
        assert failure["text"].endswith("declare conventions = {'arithmetic.subnormals': 'flushed'}")
        assert not failure["impostors"]


@pytest.mark.parametrize("x", [1e-39, -1e-45, 0.0, 2.0**-126, 1.0])
def test_a_subnormal_argument_may_be_lost(x: float) -> None:
    x32 = np.array([x], dtype=np.float32)
    lost = abs(float(x32[0])) if abs(x32[0]) < 2.0**-126 else 0.0

    with exact.evaluated(flushes=True):
        assert exact.of(x32).err.item() == lost
        ((after,),) = exact.optimize("sgd", {"lr": 1.0}, [x32], [[x32]], PYTORCH)
        assert after.err.item() >= 2 * lost
    assert exact.of(x32).err.item() == 0


def test_sums_and_products_of_normal_numbers_may_be_lost_where_they_are_subnormal() -> None:
    least = np.array([2.0**-126, -(1.5 * 2.0**-126)], dtype=np.float32)
    for flushes, lost in ((False, 0.0), (True, 2.0**-126)):
        with exact.evaluated(flushes=flushes):
            x = exact.of(least)
            assert (x[:1] + x[1:]).err.item() == pytest.approx(lost, rel=1e-6, abs=3e-45)
            assert x.sum().err.item() == pytest.approx(lost, rel=1e-6, abs=3e-45)
            assert (x * exact.constant(0.5, x.form)).err.max() == pytest.approx(lost, rel=1e-6, abs=3e-45)


def doubled_after(t_p: Any, t_c: Any) -> Any:
    return np.float32(2) * ((t_p - t_c) / np.float32(len(t_p)))


def mean_doubled(t_u: Any, t_c: Any) -> Any:
    return np.float32(2) * np.array([(-t_c * t_u).mean(), (-t_c).mean()], dtype=np.float32)


LATE = [
    (doubled_after, exact.dloss_fn, (f32(2.1975439e-38, 0, 0, 0), f32(-1.9517652e-38, 0, 0, 0))),
    (doubled_after, exact.dloss_fn, (f32(*[16 * 0.99 * 2.0**-126] * 16), f32(*[0.0] * 16))),
    (mean_doubled, lambda t_u, t_c: exact.grad_fn(t_u, t_c, 0 * t_c), (f32(1.8039046e-19), f32(-5e-20))),
]


@pytest.mark.parametrize(("evaluation", "truth", "arguments"), LATE)
def test_a_lost_number_may_have_been_doubled_afterwards(evaluation: Any, truth: Any, arguments: Any) -> None:
    torch = pytest.importorskip("torch")
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor does not take subnormal numbers for zero")
    try:
        answer = evaluation(*arguments)
    finally:
        torch.set_flush_denormal(False)

    with tallying(Tally(flushes=True)):
        agree(answer, truth(*map(exact.of, arguments)))
    with pytest.raises(Disagreement), tallying(Tally()):
        agree(answer, truth(*map(exact.of, arguments)))


@pytest.mark.parametrize("flushes", [False, True])
def test_a_weight_that_may_be_taken_for_zero_may_have_no_sign(flushes: bool) -> None:
    with tallying(Tally(flushes=flushes)):
        t_u, t_c, w, b = map(exact.of, (f32(1.0, 2.0), f32(1.0, 2.0), np.float32(1e-40), np.float32(0.0)))
        with contextlib.nullcontext() if flushes else pytest.raises(Disagreement):
            agree(f32(-5.0, -3.0), exact.regularized_grad(t_u, t_c, w, b, 0.5, 0.0))
        lost = exact.closed_form(0, 0.5, exact.of(f32(1e-40, 1.0)), t_u, t_c).err[0]
    assert bool(lost >= 1e-40) == flushes


OTHERWISE = """
import numpy as np
from calibrant.adapters import numpy_target as right

conventions = {conventions}
"""

SCALED = """
from calibrant.adapters.numpy_target import _columns, _penalties, _same_shape, model

def _scaled(x, n):
    return {scaled}

def loss_fn(t_p, t_c):
    _same_shape(t_p, t_c)
    return np.sum(_scaled(np.square(t_p - t_c), t_p.size))

def dloss_fn(t_p, t_c):
    _same_shape(t_p, t_c)
    return _scaled(2 * (t_p - t_c), t_p.size)

def grad_fn(t_u, t_c, t_p, w, b):
    return np.stack([np.sum(dloss_fn(t_p, t_c) * t_u), np.sum(dloss_fn(t_p, t_c))])

def value_and_grad(params, t_u, t_c):
    t_p = model(t_u, *params)
    return loss_fn(t_p, t_c), grad_fn(t_u, t_c, t_p, *params)

def accumulated_grad(params, batches):
    t_u, t_c = (np.concatenate(column) for column in zip(*batches))
    return value_and_grad(params, t_u, t_c)[1]

def regularized_loss(t_p, t_c, w, l1, l2):
    _penalties(l1, l2)
    number = t_p.dtype.type
    return loss_fn(t_p, t_c) + number(l1) * np.abs(w) + number(l2) * np.square(w)

def training_loop(n_epochs, optimizer, params, t_u, t_c, val_t_u=None, val_t_c=None):
    rate, losses = params.dtype.type(optimizer["lr"]), []
    for _ in range(n_epochs):
        loss, grad = value_and_grad(params, t_u, t_c)
        losses.append(loss)
        params = params - rate * grad
    return params, losses, []
"""
HELD = "optimize = lambda name, h, *given: right.optimize(name, {k: _held(x) for k, x in h.items()}, *given)"
IN_FLOAT32 = (
    """
def _held(x):
    return type(x)(map(_held, x)) if isinstance(x, (list, tuple)) else float(np.float32(x)) if isinstance(x, float) else x

"""
    + HELD
)
ZEROS = """
def optimize(name, h, params, grads):
    return right.optimize(name, h, params, [[p * 0 if g is None else g for p, g in zip(params, step)] for step in grads])
"""
ROUNDED = """
import math
from fractions import Fraction

def split(n, fraction, seed):
    right.split(n, fraction, seed)
    count = {rounded}(Fraction(repr(float(fraction))) * n)
    rows = np.random.default_rng(seed).permutation(n)
    return rows[count:], rows[:count]
"""
LOSSES = "loss.mean-square gradient.by-hand-loss gradient.chain-rule gradient.automatic gradient.value accumulation.full-batch"
WALKS = "descent.step descent.trajectory"
OPTIMIZERS = "optimizer.sgd.momentum optimizer.adam.bias-correction optimizer.rmsprop optimizer.nadam"
FOLLOWING = """
from calibrant.impostors.correct import CorrectOperations, in_dtype, over_arrays

for _name in {names}:
    _correct = CorrectOperations(_name, over_arrays(), {convention})
    globals()[_name] = lambda *arguments, correct=_correct: in_dtype(correct(*arguments), np.float64)
"""


def following(convention: str, value: str, *names: str) -> str:
    """A target whose operations of these names follow a convention."""
    return FOLLOWING.replace("{convention}", repr({convention: value})).replace("{names}", repr(names))


GENERAL_CASES = {
    ("loss.scale", "half"): (
        SCALED.replace("{scaled}", "x / x.dtype.type(2 * n)"),
        f"{LOSSES} {WALKS} regularization.sum",
    ),
    ("loss.scale", "sum"): (SCALED.replace("{scaled}", "x"), f"{LOSSES} gradient.additive {WALKS} regularization.sum"),
    ("gradients.absent", "zero"): (ZEROS, "optimizer.absent-gradient"),
    ("split.rounding", "up"): (ROUNDED.replace("{rounded}", "math.ceil"), "split.sizes split.as-written"),
    ("split.rounding", "nearest"): (ROUNDED.replace("{rounded}", "round"), "split.sizes split.as-written"),
    ("arithmetic.hyperparameters", "float32"): (IN_FLOAT32, OPTIMIZERS),
    ("schedule.warm-up-count", "zero"): (following("schedule.warm-up-count", "zero", "schedule"), "schedule.warm-up"),
    ("schedule.after-cosine", "returns"): (
        following("schedule.after-cosine", "returns", "schedule"),
        "schedule.cosine schedule.warm-up",
    ),
    ("schedule.patience", "reached"): (
        following("schedule.patience", "reached", "plateau"),
        "schedule.plateau schedule.plateau-threshold schedule.plateau-cooldown schedule.plateau-least",
    ),
    ("clip.epsilon", "added"): (
        following("clip.epsilon", "added", "clip_by_norm", "clip_shards", "scaled_steps"),
        "clip.scaled clip.shards scale.clip",
    ),
    ("lazy.epsilon", "outside"): (
        following("lazy.epsilon", "outside", "optimize_rows"),
        "optimizer.sparse-adam optimizer.sparse-adam.rows",
    ),
    ("lbfgs.first-rate", "l2"): (
        following("lbfgs.first-rate", "l2", "lbfgs"),
        "optimizer.lbfgs optimizer.lbfgs.memory optimizer.lbfgs.stop",
    ),
    ("lbfgs.curvature", "any"): (following("lbfgs.curvature", "any", "lbfgs"), "optimizer.lbfgs.memory"),
    ("resume.hyperparameters", "constructed"): (
        following("resume.hyperparameters", "constructed", "resume"),
        "resume.hyperparameters",
    ),
}
TOGETHER = {
    "half": (
        ("loss.scale", "half"), ("split.rounding", "up"), ("gradients.absent", "zero"), ("schedule.warm-up-count", "zero"),
        ("schedule.patience", "reached"), ("clip.epsilon", "added"), ("lazy.epsilon", "outside"), ("lbfgs.first-rate", "l2"),
        ("resume.hyperparameters", "constructed"),
    ),
    "sum": (
        ("loss.scale", "sum"), ("split.rounding", "nearest"), ("arithmetic.hyperparameters", "float32"),
        ("schedule.after-cosine", "returns"), ("lbfgs.curvature", "any"),
    ),
}  # fmt: skip
"""The cases by the target that they make together: each says what other operations do."""


def test_every_general_convention_but_one_has_a_case() -> None:
    values = {(name, value) for name, values in GENERAL.items() for value in values[1:]}

    assert values - set(GENERAL_CASES) == {("arithmetic.subnormals", "flushed")}
    assert sorted(itertools.chain(*TOGETHER.values())) == sorted(GENERAL_CASES)


@pytest.mark.untraced
@pytest.mark.parametrize("says", [True, False])
@pytest.mark.parametrize("together", TOGETHER.values(), ids=TOGETHER)
def test_general_conventions_are_held_to_if_declared_and_told_if_not(
    tmp_path: Path, together: tuple[tuple[str, str], ...], says: bool
) -> None:
    cases = [(name, value, *GENERAL_CASES[name, value]) for name, value in together]
    file = target(
        tmp_path,
        OTHERWISE.replace("{conventions}", repr(dict(together) if says else {}))
        + "".join(source for *_, source, _ in cases),
    )
    due = {clause: (name, value) for name, value, _, clauses in cases for clause in clauses.split()}
    asked = [f"--clause={clause}" for clause in (*due, "gradient.of-the-reported-loss")]

    said, _ = checked(tmp_path, file, *asked, "--examples=60", "--seed=1", "--dtype=float64")

    verdicts = {verdict["clause"]: verdict for verdict in said["verdicts"]}
    broken = {clause for clause, verdict in verdicts.items() if verdict["status"] != "holds"}
    assert broken == (set() if says else set(due))
    for clause in broken:
        for failure in verdicts[clause]["failures"]:
            assert failure["text"].endswith(f"declare conventions = {dict([due[clause]])}")


@pytest.mark.untraced
@pytest.mark.parametrize(
    "variant", [one for one in catalog() if one.convention[0] and one.operation != "optimize"], ids=lambda one: one.name
)
def test_a_variant_that_is_declared_conforms(variant: Impostor) -> None:
    """A warm-up that counts from zero does so within a sequence, too."""
    operation = getattr(target_from_impostor(variant).implementation, variant.operation)
    mine = {variant.operation: operation, "conventions": dict([variant.convention])}
    clauses = f"{variant.main.partition('.')[0]}.*"

    report = calibrant.check(mine, clauses=clauses, dtypes="float64", examples=40, seed=1, strict=True)

    assert report.ok, report


NAMED = (
    *("plateau", "plateau.nan-replaced-in-place", "plateau.any-hyperparameters", "clip_by_norm.over-the-square"),
    *("clip_shards.norms-added", "resume.parameters-in-place", "optimize_rows.changes-the-callers"),
)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMED)
def test_an_answer_is_named_alike_whatever_else_is_declared(name: str, dtype: str) -> None:
    """Rounding decides some questions, of whose exact answers nothing is then claimed."""
    operation, _, impostor = name.partition(".")
    found = target_from_impostor(*select([name])).implementation if impostor else numpy_target
    target = subject(dtype, conventions={"loss.scale": "half"}, **{operation: getattr(found, operation)})

    assert [one.name for one in naming.among(target, operation)] == [impostor] * bool(impostor)


@pytest.mark.parametrize(("scale", "factor"), [("sum", lambda n: 1), ("half", lambda n: 1 / (2 * n))])
def test_a_scaled_loss_has_subgradients_and_wide_means_of_its_scale(scale: str, factor: Any) -> None:
    """A slope of 1 at a zero residual is right for a sum, and half the mean is right where the sum overflows."""

    def loss_fn(t_p: Any, t_c: Any) -> Any:
        return np.sum(np.square(t_p - t_c) * t_p.dtype.type(factor(t_p.size)))

    def dabsolute_loss(t_p: Any, t_c: Any) -> Any:
        return np.where(t_p >= t_c, 1, -1) / t_p.dtype.type(1 if scale == "sum" else t_p.size)

    mine = {"loss_fn": loss_fn, "dabsolute_loss": dabsolute_loss, "conventions": {"loss.scale": scale}}
    clauses = ("loss.smooth-at-zero", "loss.absolute-slope", "loss.wide-accumulation")

    report = calibrant.check(mine, clauses=clauses, dtypes="float64", examples=20, strict=True)

    assert report.ok, report


@pytest.mark.parametrize(("scale", "told"), [(2.0, "declare conventions = {'loss.scale': 'sum'}"), (1.0, "")])
def test_a_gradient_of_a_sum_beside_the_loss_of_a_mean_is_no_convention(scale: float, told: str) -> None:
    t_u, t_c = np.array([1.0, 2.0]), np.array([0.0, 1.0])

    def value_and_grad(params: Any, t_u: Any, t_c: Any) -> Any:
        t_p = numpy_target.model(t_u, *params)
        return numpy_target.loss_fn(t_p, t_c) * scale, 2 * numpy_target.grad_fn(t_u, t_c, t_p, *params)

    def asked(target: Any) -> None:
        _, gradient = target.value_and_grad(np.array([1.0, 0.5]), t_u, t_c)
        agree(gradient, exact.gradient(*map(exact.of, (t_u, t_c, np.array(1.0), np.array(0.5)))))

    mine = subject(value_and_grad=value_and_grad)
    mine.asked = asked
    with pytest.raises(Disagreement):
        asked(mine)

    assert variants.general(mine, named=True).endswith(told)
    assert bool(variants.general(mine, named=True)) == bool(told)


def test_a_rate_in_float32_is_told_of_a_descent_by_autograd() -> None:
    rate = float(np.float32(0.1))
    mine = subject(descend=lambda *given: [[np.array(18.0), np.full(2, 6.0), np.array([1.0, 2.0]) - rate * 6]])
    mine.asked = bare("test_a_step_after_three_batches_is_a_step_on_their_sum")
    with pytest.raises(Disagreement):
        mine.asked(mine)

    assert "'arithmetic.hyperparameters': 'float32'" in variants.general(mine, named=False)


INSIDE = """
import numpy as np

def loss_fn(t_p, t_c):
    return ((t_p - t_c) ** 2).sum() * t_p.dtype.type({factor})
"""


@pytest.mark.parametrize(
    ("factor", "told"),
    [
        ("np.float32(1 / t_p.size)", True),
        ("(1 + 2**-40) / t_p.size", False),  # too small an error for float32
        ("(1 + 2**-12) / t_p.size", False),  # too large a one
    ],
)
def test_a_step_in_float32_inside_float64_is_told(tmp_path: Path, factor: str, told: bool) -> None:
    file = target(tmp_path, INSIDE.replace("{factor}", factor))

    said, _ = checked(tmp_path, file, "--clause=loss.mean-square", "--examples=30", "--seed=1", "--dtype=float64")

    (verdict,) = said["verdicts"]
    assert verdict["status"] == "breaks"
    first, last = (failure["text"] for failure in verdict["failures"])  # of the clause's two properties
    assert ["it looks like float32 somewhere" in text for text in (first, last)] == [told, told]
