"""The chapter of the book on formulas: its text, made from the formulas themselves."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping

from calibrant.formula.declaring import CATALOGUE, Declared, formulas_of

NUMBER = 12
"""The number of the chapter."""
NAME = "layers"

_OPENING = """\
# {number} Layers

**You will learn** how each loss, activation and layer that ships with calibrant is defined, where its definition holds, and what an
implementation may do at its edges. `calibrant check TARGET --formulas` holds a target against this chapter.

Each formula has two clauses: one on its value, one on its gradient. [Judging your own function](formulas.md) says how the bound of
either follows from the formula's text, and what holds of ties, poles, overflow, NaN and infinity in all of them:

- **Tie or corner**: any slope between the slopes of the two sides is right. A tie passes its gradient on once, in any shares.
- **Overflow or undefined value**: nothing is claimed where the value, or a number on the way to it, may leave the dtype's range, and nothing of the gradient of such a value.
- **NaN**: a result that is NaN is wrong wherever something is claimed. Of a NaN among the arguments nothing is claimed.
- **Infinity**: an infinity that follows exactly is demanded.

`python -m calibrant.formula` writes this chapter from `src/calibrant/formula/catalogue.py`.

## The formulas
"""


def text(formulas: Mapping[str, Declared]) -> str:
    """The chapter on these formulas."""
    sections = "\n".join(line for k, one in enumerate(formulas.values()) for line in _section(one, 2 * k + 1))
    return f"{_OPENING.format(number=NUMBER)}\n{sections}"


def _section(one: Declared, number: int) -> Iterator[str]:
    title = one.name.replace("_", " ").capitalize()
    said = inspect.getdoc(one.function) or "The formula's code defines it."
    what, *rest = re.split(r" (?=Domain: |Reference: )", " ".join(said.split()))
    first, _, edges = what.partition(". ")
    definition = f"{first.rstrip('.')}."
    yield f'<a id="{one.clause}"></a>'
    yield f"### {NUMBER}.{number} {title} · `{one.clause}` · MUST\n"
    yield _filled(f"`{one.signature}` returns, but for rounding: {_lower(definition)}") + "\n"
    if edges:
        yield _filled(edges) + "\n"
    shapes = ", ".join(
        f"{name} ({', '.join(axes)})" for name, axes in zip(one.parameters, one.axes, strict=True) if axes
    )
    yield _filled(f"Shapes: {shapes}. {_holds(one)}".strip()) + "\n"
    for part in rest:
        yield _filled(part.rstrip(".") + ".") + "\n"
    yield "```text\n" + _code(one) + "\n```\n"
    yield f'<a id="{one.clause}.gradient"></a>'
    yield f"### {NUMBER}.{number + 1} {title}: the gradient · `{one.clause}.gradient` · MUST\n"
    names = [one.parameters[i] for i in one.differentiable]
    listed = ", ".join(names[:-1]) + " and " * (len(names) > 1) + "".join(names[-1:])
    each = f"for {listed} " if names else ""
    yield (
        _filled(
            f"The gradient of `{one.name}` {each}is the exact vector-Jacobian product with the upstream gradient, but for rounding."
        )
        + "\n"
    )


def _holds(one: Declared) -> str:
    said = [
        f"{name} holds {_KINDS.get(kind.split(' ')[0], kind) if isinstance(kind, str) else ' or '.join(map(str, kind))}"
        for name, axes in zip(one.parameters, one.axes, strict=True)
        if axes and (kind := one.draws.get(name))
    ]
    return f"{'; '.join(said).replace('holds index', 'holds an index')}." if said else ""


_KINDS = {
    "positive": "positive numbers",
    "probabilities": "numbers between 0 and 1",
    "signs": "-1 and 1",
    "distribution": "rows of positive numbers",
    "log-distribution": "the logarithms of probabilities",
    "index": "whole numbers, as an index",
    "mask": "booleans",
}


def _code(one: Declared) -> str:
    """The formula without its decorator and its docstring."""
    source = textwrap.dedent(inspect.getsource(one.function))
    source = source[source.index("def ") :]
    return re.sub(r'^ +"""(?:.|\n)*?"""\n', "", source, count=1, flags=re.MULTILINE).rstrip()


def _lower(sentence: str) -> str:
    """A sentence after a colon; names and symbols keep their first letter."""
    return sentence[0].lower() + sentence[1:] if re.match(r"[A-Z][a-z]* ", sentence) else sentence


def _filled(paragraph: str) -> str:
    return textwrap.fill(paragraph, 130, break_long_words=False, break_on_hyphens=False)


def chapter(source: str = CATALOGUE, shapes: str | None = None) -> str:
    """The chapter on the formulas of a source."""
    return text(formulas_of(source, shapes))
