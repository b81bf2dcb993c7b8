"""The book's mathematics as plain text: TeX becomes Unicode."""

import re

_MATHEMATICS = (
    (r"\\begin\{pmatrix\}(.*?)\\end\{pmatrix\}", r"[\1]"),
    (r"\\begin\{cases\}(.*?)\\end\{cases\}", r"{ \1 }"),
    (r" *& *\\text", r" \\text"),
    (r" *& *", ", "),
    (r",? *\\cr *", "; "),
    (r"\\text\{([^{}]*)\}", r" \1 "),
    (r"\{,\}", ","),
    (r"\\frac(\d)(\w)", r"\1/\2"),
    (r"\\frac(\d)\{([^{}]*)\}", r"\1/(\2)"),
    (r"\\[lr]Vert ?", "‖"),
    (r"\\(?:left|right)", ""),
    (r"\^\\top", "ᵀ"),
    (r"_\{(\w),i\}", r"_\1[i]"),
    (r"_\{\\(max|min)\}", r"_\1"),
    (r"_\{([^{}]*)\}", r"[\1]"),
    (r"\^\{([^{}]*)\}", r"^(\1)"),
    (r"\\operatorname\{([^{}]*)\}", r"\1"),
    (r"\\overline\{(\d+)\}", r"\1..."),
    (r"\\sqrt\{([^{}]*)\}", r"√(\1)"),
    (r"\\d?frac\{([^{}]*)\}\{([^{}]*)\}", r"(\1) / (\2)"),
    (r"\\hat ?(\\\w+|(?<= )\w)", "\\1\N{COMBINING CIRCUMFLEX ACCENT}"),
    (r"\\bar (\w)", "\\1\N{COMBINING MACRON}"),
    (r"\\bar\{(\w)\}", "\\1\N{COMBINING MACRON}"),
    (r"\\sqrt ?(\\\w+|\w)", r"√\1"),
    (r"\^\\ast", "*"),
    (r"\\sum_i", "Σ"),
    (r"\\[lr]vert ?", "|"),
    (r"\^2", "²"),
    (r"\^3", "³"),
    (r"\\(?:q?quad|[ ,;])", " "),
)
"""Patterns of TeX and their replacements, from the inside out."""

# fmt: off
_LETTERS = {
    "theta": "θ", "eta": "η", "lambda": "λ", "delta": "δ", "mu": "μ", "tau": "τ", "beta": "β", "epsilon": "ε", "rho": "ρ", "sigma": "σ", "pi": "π",
    "alpha": "α", "psi": "ψ", "ell": "ℓ", "partial": "∂", "nabla": "∇", "infty": "∞", "ne": "≠", "cdot": "·", "dots": "...",
    "ldots": "...", "cdots": "...", "kappa": "κ", "phi": "φ", "gamma": "γ", "pm": "±", "le": "≤", "ge": "≥", "approx": "≈",
    "in": "∈", "sum": "Σ",
}
# fmt: on


def readable(sentence: str) -> str:
    """A sentence of the book without its TeX and the targets of its links."""

    def formula(match: re.Match[str]) -> str:
        text, before = match[1], ""
        while text != before:
            before = text
            for pattern, replacement in _MATHEMATICS:
                text = re.sub(pattern, replacement, text)
        return re.sub(r"\\([a-z]+)", lambda m: _LETTERS.get(m[1], m[1]), text)

    text = re.sub(r"\[([^]]+)\]\([^()]+\.md(?:#[^()]*)?\)", r"\1", re.sub(r"\$([^$]+)\$", formula, sentence))
    return " ".join(text.split())
