"""The chapter on optimizers: lazy optimizers, which move the rows of a table that have gradients."""

from typing import Any

import pytest
from hypothesis import given

from calibrant import exact
from calibrant.judge import agree_lists, holds, listed
from calibrant.strategies import RowSteps, row_steps
from calibrant.suite.claims import keeps_dtype, leaves_arguments_alone
from calibrant.suite.property import clause
from calibrant.target.calling import Subject


def tables(target: Subject, run: RowSteps) -> list[list[Any]]:
    """The table after each step."""
    return listed([target.optimize_rows(*run.asked)], [len(run.rows)])


def goes_where_it_is_due(target: Subject, run: RowSteps) -> None:
    """Raise Disagreement unless the table after each step is within its bounds."""
    agree_lists(
        tables(target, run), [exact.optimize_rows(*run.asked, target.follow)], places=("", "the table after step")
    )


@clause("optimizer.sparse-adam", fraction_of_examples=0.6)
@given(row_steps())
def test_rows_with_gradients_follow_adam_and_all_others_stay(target: Subject, run: RowSteps) -> None:
    """Their averages stay, too, and do not fade; the count of steps is one for all rows."""
    goes_where_it_is_due(target, run)


@clause("optimizer.sparse-adam.rows", fraction_of_examples=0.4)
@given(row_steps(repeated=True, steps=(1, 4)))
def test_gradients_of_a_repeated_row_add_up(target: Subject, run: RowSteps) -> None:
    """A word that a batch has twice has two gradients, and takes one step."""
    goes_where_it_is_due(target, run)


@clause("optimizer.gradients-kept", fraction_of_examples=0.3)
@given(row_steps(repeated=True, maximize=(True, None)))
def test_lazy_optimizers_leave_their_arguments_alone(target: Subject, run: RowSteps) -> None:
    leaves_arguments_alone(target, "optimize_rows", *run.asked)


@clause("optimizer.fresh", fraction_of_examples=0.3)
@given(row_steps())
def test_a_fresh_lazy_optimizer_remembers_nothing(target: Subject, run: RowSteps) -> None:
    tables(target, run)

    holds(target.repeats(), "returned something else when it was called again")


@clause("optimizer.dtype", fraction_of_examples=0.1)
@given(row_steps())
def test_tables_keep_their_dtype(target: Subject, run: RowSteps) -> None:
    keeps_dtype(target, tables(target, run))


@clause("optimizer.invalid")
@pytest.mark.parametrize(
    ("key", "value"), [("lr", -0.5), ("lr", [0.5]), ("betas", (1.0, 0.5)), ("betas", (0.5, 1.0)), ("eps", -0.5)]
)
def test_values_of_lazy_optimizers_that_mean_nothing_are_refused(target: Subject, key: str, value: Any) -> None:
    refused = target.refuses("optimize_rows", "sparse_adam", {key: value}, *two_steps(target))

    holds(refused, f"took {value!r} for {key}, which means nothing there")


@clause("optimizer.invalid")
@pytest.mark.parametrize("row", [2, 5])
def test_a_row_that_does_not_exist_is_refused(target: Subject, row: int) -> None:
    table, _, grads = two_steps(target)

    refused = target.refuses("optimize_rows", "sparse_adam", {"lr": 0.5}, table, [[0], [row]], grads)

    holds(refused, f"took a gradient for row {row} of a table of two")


@clause("optimizer.unknown")
@pytest.mark.parametrize(("name", "given"), [("sparse_adm", {}), ("sparse_adam", {"weight_decay": 0.5})])
def test_unknown_names_of_lazy_optimizers_are_refused(target: Subject, name: str, given: dict[str, Any]) -> None:
    refused = target.refuses("optimize_rows", name, {"lr": 0.5, **given}, *two_steps(target))

    holds(refused, f"did not refuse it, though {name} has no {', '.join(given)}" if given else f"there is no {name!r}")


def two_steps(target: Subject) -> tuple[Any, ...]:
    """A table of two rows, and two steps for the first of them."""
    grads = [target.array([[1.0]])] * 2
    return target.array([[1.0], [2.0]]), [[0], [0]], grads
