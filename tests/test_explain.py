"""`calibrant explain`: what is printed of clauses, chapters, operations, optimizers and impostors."""

from __future__ import annotations

import re

import pytest

from calibrant.book.clauses import CHAPTERS, book, book_folder
from calibrant.exact.optimizers import DEFAULTS
from calibrant.impostors import catalog
from calibrant.protocol.errors import UnknownName
from calibrant.protocol.operations import OPERATIONS
from calibrant.reports.explain import absent, explained, filled, hyperparameters, legend, returns, unicode


def page(name: str) -> str:
    """Everything that is printed of a name."""
    return "\n".join(explained(name))


def test_no_tex_is_left_in_a_clause_or_a_chapter() -> None:
    """Of its commands, only the names of functions stay as words."""
    fences = re.compile(r"^```.*?^```$|`[^`]*`", re.MULTILINE | re.DOTALL)
    for clause in book().values():
        assert not re.search(r"\\[a-zA-Z]|\$|[_^]\{|\{ref\}", fences.sub("", unicode(clause.text))), clause.name
        for formula in re.findall(r"\$+[^$]+\$+", fences.sub("", clause.text)):
            left = {*re.findall(r"\\([a-zA-Z]+)", formula)} & {*re.findall(r"[a-zA-Z]+", unicode(formula))}
            assert left <= {"max", "min", "log", "ln", "exp", "tanh", "cos"}, (clause.name, formula)
    assert not any("$" in page(chapter) for chapter in CHAPTERS)


def test_no_link_figure_or_html_is_left_in_a_page() -> None:
    for name in (*book(), *CHAPTERS, *OPERATIONS, *DEFAULTS):
        prose = re.sub(r"^```.*?^```$|^Checked by .*", "", page(name), flags=re.MULTILINE | re.DOTALL)
        assert not re.search(r"\]\([^)]*(?:\.md|#|\.svg)|!\[|\{ref\}|^<", prose, re.MULTILINE), name
    folded = "![A line.](figures/fit.svg)\n\n<details><summary>Solution</summary>\n\nSee [3.1](loss.md#loss.zero).\n\n</details>\n"
    assert unicode(folded) == "(Figure: A line.)\n\nSolution:\n\nSee 3.1.\n\n"


def test_mathematics_reads_in_lines_and_code_stays_as_it_is() -> None:
    text = "For $\\eta <\n2 / \\lambda_{\\max}$:\n\n$$\n\\frac{1}{n} \\sum_i x_{i}^2\n$$\n\n```python\n>>> price = '$5'\n```"

    assert unicode(text) == "For η < 2 / λ_max:\n\n    (1) / (n) Σ x[i]²\n\n```python\n>>> price = '$5'\n```"


def test_prose_is_filled_to_a_width_and_code_and_tables_stay() -> None:
    text = (
        "One two three four.\nFive.\n\n    (1) / (n) of a formula\n\n```python\n>>> long(code, that, stays)\n```\n\n"
        "> Not required: a\n> quotation.\n\n- `f` as `g`: an\n  item.\n- Another.\n\n| a table | with rows that stay |\n"
    )

    assert filled(text, 16) == (
        "One two three\nfour. Five.\n\n    (1) / (n) of a formula\n\n```python\n>>> long(code, that, stays)\n```\n\n"
        "> Not required:\n> a quotation.\n\n- `f` as `g`: an\n  item.\n- Another.\n\n| a table | with rows that stay |\n"
    )
    for clause in book().values():
        prose = unicode(clause.text)
        words, due = ([word for word in said.split() if word != ">"] for said in (filled(prose, 60), prose))
        assert words == due, clause.name


def test_a_matrix_and_cases_are_in_one_line() -> None:
    matrix = r"$\\begin{pmatrix} a & b \\cr c & 1 \\end{pmatrix}$".replace("\\\\", "\\")
    cases = r"$\\begin{cases} y & \\text{if } r = i, \\cr 0 & \\text{otherwise.} \\end{cases}$".replace("\\\\", "\\")

    assert (unicode(matrix), unicode(cases)) == ("[ a, b; c, 1 ]", "{ y if r = i; 0 otherwise. }")


def test_the_page_on_targets_and_explain_show_one_table() -> None:
    text = (book_folder() / "targets.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (`lr` .*) \|$", text, re.MULTILINE)
    printed = page("optimize")
    shown = [
        (operation, *row)
        for operation in ("optimize", "optimize_rows", "lbfgs")
        for row in hyperparameters(operation).items()
    ]

    assert rows == [(name, row) for _, name, row in shown]
    assert [name for name, _ in rows][: len(DEFAULTS)] == [*DEFAULTS]
    for operation, name, row in shown:
        assert re.search(rf"^  {name} +{re.escape(row.replace('`', ''))}$", page(operation), re.MULTILINE)
        assert operation != "optimize" or row.replace("`", "") in page(name)
    assert legend() in text
    assert absent() in text
    assert absent().replace("`", "") in printed


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_told_with_its_arguments_and_its_answer(name: str) -> None:
    printed = page(name)

    assert f"{name}({', '.join(OPERATIONS[name].parameters)}), an operation of the chapter" in printed
    assert returns()[name].split("`")[0].split("$")[0] in printed
    assert all(f"`calibrant explain {chapter}`" in printed for chapter in OPERATIONS[name].chapters[:1])


def test_an_impostor_is_told_for_each_of_its_operations() -> None:
    printed = page("sum-instead-of-mean")
    operations = [one.operation for one in catalog() if one.name == "sum-instead-of-mean"]

    assert len(operations) > 1
    assert all(f"{operation} as sum-instead-of-mean  bug" in printed for operation in operations)
    assert page("loss_fn.sum-instead-of-mean") in printed


def test_a_name_of_several_things_is_told_as_all_of_them() -> None:
    printed = page("model")

    assert printed.startswith("model, chapter 2 of the book")
    assert "model(t_u, w, b), an operation of the chapter model" in printed


def test_an_unknown_word_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="'optimise'; nearest: optimize"):
        page("optimise")
