"""Mathematics as MathML, which browsers draw themselves: no script, and no network."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Any

import latex2mathml.converter
from docutils import nodes
from sphinx.util import logging

# A bar is a fence, and no operator with room on both sides.
_BAR = re.compile(r'<mo(?: fence="false")?(?: stretchy="false")?>(&#x0007C;|&#x02016;|&#x02225;)</mo>')
_log = logging.getLogger(__name__)


def font() -> Path:
    """A font with the sizes and pieces of mathematics (STIX Two Math, SIL Open Font License), shipped in a package."""
    return Path(str(resources.files("ziamath"))) / "fonts" / "STIXTwoMath-Regular.ttf"


def mathml(tex: str, display: bool = False) -> str:
    """The MathML of a formula. Raises ValueError if some of its commands are unknown."""
    drawn: str = latex2mathml.converter.convert(tex, display="block" if display else "inline")
    drawn = re.sub(r"\\([_%#])", r"\1", drawn)
    if unknown := re.findall(r"\\\w*|(?<=>)&(?=<)", drawn):
        raise ValueError(f"{', '.join(unknown)} cannot be drawn, in {tex}")
    drawn = _BAR.sub(r'<mo stretchy="false" lspace="0" rspace="0">\1</mo>', drawn)
    return drawn.replace('xmlns="http://www.w3.org/1998/Math/MathML" ', f'alttext="{_quoted(tex)}" ')


def _quoted(text: str) -> str:
    escapes = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
    return "".join(escapes.get(c, c) for c in " ".join(text.split()))


def _drawn(node: Any, display: bool) -> str:
    try:
        return mathml(node.astext(), display)
    except ValueError as error:
        _log.warning("%s", error, location=node)
        return f"<code>{_quoted(node.astext())}</code>"


def inline(writer: Any, node: Any) -> None:
    """Write a formula in a line."""
    writer.body.append(_drawn(node, display=False))
    raise nodes.SkipNode


def block(writer: Any, node: Any) -> None:
    """Write a formula on lines of its own."""
    writer.body.append(f'<div class="math">{_drawn(node, display=True)}</div>\n')
    raise nodes.SkipNode
