"""calibrant: an executable specification of the mechanics of learning, and the instrument that holds any implementation to it."""

__version__ = "0.1.0"

_FORMULA = ("assert_agrees", "assert_gradient", "bound")


def __getattr__(name: str) -> object:
    if name in _FORMULA:
        from calibrant import formula

        return getattr(formula, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
