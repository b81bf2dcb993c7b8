"""Mathematics as MathML, which browsers draw themselves: no script, and no network."""

from __future__ import annotations

import html
import re
from importlib.metadata import distribution
from itertools import zip_longest
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import latex2mathml.converter
from docutils import nodes
from sphinx.util import logging

_log = logging.getLogger(__name__)


def font() -> Path:
    """A font with the sizes and pieces of mathematics (STIX Two Math, SIL Open Font License), shipped in a package."""
    return Path(str(distribution("ziamath").locate_file("ziamath/fonts/STIXTwoMath-Regular.ttf")))


def mathml(tex: str, display: bool = False) -> str:
    """The MathML of a formula. Raises ValueError if some of its commands are unknown."""
    drawn = latex2mathml.converter.convert(tex, display="block" if display else "inline")
    drawn = re.sub(r"\\([_%#])", r"\1", drawn.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', ""))
    if unknown := re.findall(r"\\\w*|(?<=>)&(?=<)", drawn):
        raise ValueError(f"{', '.join(unknown)} cannot be drawn, in {tex}")
    formula = ElementTree.fromstring(drawn)
    formula.set("alttext", " ".join(tex.split()))
    for part in formula.iter():
        if part.tag == "mo" and part.text in ("|", "‖") and "form" not in part.attrib:
            part.attrib |= {"stretchy": "false", "lspace": "0", "rspace": "0"}  # a fence, and no operator
        elif part.tag in ("mrow", "mtd"):
            part[:] = _spaced(list(part))
    return ElementTree.tostring(formula, encoding="unicode")


def _spaced(parts: list[ElementTree.Element]) -> list[ElementTree.Element]:
    """The parts of a row, with room between a function's name and letters beside it, but not before a parenthesis."""
    spaced: list[ElementTree.Element] = []
    for part, after in zip_longest(parts, parts[1:]):
        name = part[0] if part.tag in ("msub", "msup", "msubsup", "munder") else part
        if is_name := name.tag in ("mi", "mo") and re.fullmatch("[a-z]{2,}", name.text or ""):
            name.tag = "mi"
        if is_name and spaced and spaced[-1].tag not in ("mo", "mspace"):
            spaced.append(ElementTree.Element("mspace", width="0.17em"))
        spaced.append(part)
        if is_name and after is not None and after.tag != "mo":
            spaced.append(ElementTree.Element("mspace", width="0.17em"))
    return spaced


def _drawn(node: Any, display: bool) -> str:
    try:
        return mathml(node.astext(), display)
    except ValueError as error:
        _log.warning("%s", error, location=node)
        return f"<code>{html.escape(node.astext())}</code>"


def inline(writer: Any, node: Any) -> None:
    """Write a formula in a line."""
    writer.body.append(_drawn(node, display=False))
    raise nodes.SkipNode


def block(writer: Any, node: Any) -> None:
    """Write a formula on lines of its own."""
    writer.body.append(f'<div class="math">{_drawn(node, display=True)}</div>\n')
    raise nodes.SkipNode
