"""Values that cross a process border: arrays as JSON, and JSON-RPC messages."""

import json
import math
from typing import Any

import numpy as np

from calibrant.protocol.declarations import DTYPES, numpy_dtype
from calibrant.protocol.errors import NoAnswer, brief, nearest

NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""The numbers that JSON cannot hold, by the words that the protocol writes for them."""


FUNCTIONS = ("python", "straight-line")
"""How a program may read functions: as the source of Python, or as straight-line programs."""


def plain(value: Any, *, functions: str | None = None) -> Any:
    """A value as JSON can hold it: an array in the form of the protocol, anything unknown as text.

    A tuple is a list, unless Python reads it. A function is its source, in the way that `functions` says. Raises NotImplementedError
    for a function that only this process can call, or that is no straight-line program where one is due.
    """
    if isinstance(value, np.generic):
        value = np.asarray(value)
    if is_array(value):
        numbers = value if value.dtype.kind == "b" else np.asarray(value).astype(np.float64)
        data = [json_number(x) for x in numbers.reshape(-1).tolist()]
        return {"dtype": value.dtype.name, "shape": list(value.shape), "data": data}
    if isinstance(value, dict):
        return {str(key): plain(x, functions=functions) for key, x in value.items()}
    if isinstance(value, (list, tuple)):
        parts = [plain(x, functions=functions) for x in value]
        return {"tuple": parts} if functions == "python" and isinstance(value, tuple) else parts
    if isinstance(value, float):
        return json_number(value)
    if functions and callable(value):
        return _function(value, functions)
    return value if isinstance(value, (int, str, bool)) or value is None else getattr(value, "source", repr(value))


def _function(function: Any, functions: str) -> dict[str, Any]:
    """A function as data."""
    if not getattr(function, "stands_alone", False):
        raise NotImplementedError("the function counts its calls, or calls the target, which only one process can do")
    if functions == "python":
        return {"function": function.source}
    if function.straight_line is None:
        raise NotImplementedError(f"{function.source} is no straight-line program")
    return plain(function.straight_line)  # type: ignore[no-any-return]  # an object stays one


def json_number(x: float) -> float | str:
    """A number as JSON can hold it."""
    return x if math.isfinite(x) else "NaN" if math.isnan(x) else "Infinity" if x > 0 else "-Infinity"


def is_array(value: Any) -> bool:
    """Whether a value is an array of NumPy's."""
    return isinstance(value, np.ndarray)


DEEPEST = 32
"""The deepest nesting of lists, and the most dimensions of an array."""


def message(number: int, method: str, params: dict[str, Any], *, functions: str | None = None) -> str:
    """A JSON-RPC request in one line."""
    request = {"jsonrpc": "2.0", "id": number, "method": method, "params": plain(params, functions=functions)}
    return json.dumps(request, allow_nan=False)


def decoded(value: Any, depth: int = 0) -> Any:
    """A program's answer with NumPy arrays. Raises NoAnswer for a malformed array, and for lists that are nested too deeply."""
    if depth > DEEPEST:
        raise NoAnswer(f"returned lists that are nested more than {DEEPEST} deep", answered=True)
    if isinstance(value, dict):
        if "dtype" in value:
            return _array(value)
        return {key: decoded(part, depth + 1) for key, part in value.items()}
    if isinstance(value, list):
        return [decoded(part, depth + 1) for part in value]
    return _number(value)


def _number(x: Any) -> Any:
    """A number of an answer, or the one that a word stands for. Raises NoAnswer for a number such as 1e400."""
    if isinstance(x, float) and not math.isfinite(x):
        raise NoAnswer('returned a number beyond the range of float64; the string "Infinity" is due', answered=True)
    return NOT_FINITE.get(x, x) if isinstance(x, str) else x


def _array(value: dict[str, Any]) -> Any:
    def wrong(sentence: str) -> NoAnswer:
        return NoAnswer(f"returned {sentence}", answered=True)

    dtype, shape, data = value["dtype"], value.get("shape"), value.get("data")
    if dtype not in DTYPES and dtype not in ("int64", "int32", "bool"):
        raise wrong(f"an array of dtype {brief(dtype)}{nearest(str(dtype), DTYPES)}")
    if set(value) != {"dtype", "shape", "data"} or not isinstance(data, list):
        raise wrong(f"{brief(value)}, which is no array: dtype, shape and data make one")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise wrong(f"an array whose shape is {brief(shape)}")
    if len(shape) > DEEPEST or math.prod(shape) != len(data):
        raise wrong(f"an array of shape {brief(shape)} with {len(data)} numbers")
    numbers = list(map(_number, data))
    for x in numbers:
        if isinstance(x, bool) != (dtype == "bool") or not isinstance(x, (int, float)):
            raise wrong(f"an array with {brief(x)} where a number is due")
    try:
        with np.errstate(all="ignore"):
            array = np.array(numbers, dtype=np.float64 if dtype in DTYPES else dtype)
            return array.astype(numpy_dtype(dtype)).reshape(shape)
    except (OverflowError, ValueError) as error:
        raise wrong(f"an array that cannot be one: {error}") from None
