"""A mean squared error in C, compiled here: with fused multiply-adds, and with OpenMP's reduction."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_SOURCE = """
#include <math.h>
#define LOSS(real, name, fma) \\
    real name(const real *p, const real *c, int n) { \\
        real sum = 0; \\
        _Pragma("omp parallel for reduction(+ : sum) num_threads(3)") \\
        for (int i = 0; i < n; i++) sum += (p[i] - c[i]) * (p[i] - c[i]); \\
        return sum / n; \\
    } \\
    real name##_fused(const real *p, const real *c, int n) { \\
        real sum = 0; \\
        for (int i = 0; i < n; i++) { real r = p[i] - c[i]; sum = fma(r, r, sum); } \\
        return sum / n; \\
    }
LOSS(float, float32, fmaf)
LOSS(double, float64, fma)
"""
_TYPES = {"float32": ctypes.c_float, "float64": ctypes.c_double}


@functools.cache
def compiled_losses() -> dict[str, Callable[..., Any]]:
    """The losses by name; none without a C compiler that knows OpenMP."""
    compiler = shutil.which("gcc")
    if compiler is None:
        return {}
    with tempfile.TemporaryDirectory(prefix="calibrant-") as folder:
        library = Path(folder, "loss.so")
        command = [compiler, "-O2", "-fopenmp", "-shared", "-fPIC", "-x", "c", "-", "-o", str(library), "-lm"]
        if subprocess.run(command, input=_SOURCE, text=True, capture_output=True, check=False).returncode:
            return {}
        loaded = ctypes.CDLL(str(library))
    return {"OpenMP reduction": _call(loaded, ""), "fused multiply-add": _call(loaded, "_fused")}


def _call(library: ctypes.CDLL, suffix: str) -> Callable[..., Any]:
    def loss(t_p: Any, t_c: Any) -> Any:
        function = library[f"{t_p.dtype.name}{suffix}"]
        function.restype = _TYPES[t_p.dtype.name]
        t_p, t_c = np.ascontiguousarray(t_p), np.ascontiguousarray(t_c)
        return function(ctypes.c_void_p(t_p.ctypes.data), ctypes.c_void_p(t_c.ctypes.data), len(t_p))

    return loss
