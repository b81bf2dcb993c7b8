"""Shards of a file: each of many workers reads its own part of the samples, and no more.

A file holds n pairs of t_u (a reading, in unknown units) and t_c (°C); m of them are in the shard of worker `rank` of `world`.
"""

import array
import math
import os
import re
import stat
from typing import BinaryIO

import torch
from torch import Tensor

NPY_HEADER = r"\{'descr': '<f([48])', 'fortran_order': False, 'shape': \((\d{1,30}), 2\), \}"


def shard(n: int, rank: int, world: int) -> tuple[int, int]:
    """The begin and the end of worker `rank`'s shard of n things: the shards of all `world` workers tile them."""
    return n * rank // world, n * (rank + 1) // world


def read_shard(path: str, rank: int, world: int, header: bool = False) -> tuple[Tensor, Tensor]:
    """One worker's t_u and t_c, (m,) each in float64, from a CSV of such pairs or a .npy file of an array (n, 2).

    With `header`, the first line of a CSV holds names. Raises ValueError, with the file and the place in it, for data
    that cannot be read or are not finite.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # to open a pipe is to wait for somebody who writes
            raise ValueError(f"{path} is no regular file")
        with open(path, "rb") as file:
            rows = _npy_rows(file, rank, world) if path.endswith(".npy") else _csv_rows(file, rank, world, header)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    return rows[:, 0].contiguous(), rows[:, 1].contiguous()


def _csv_rows(file: BinaryIO, rank: int, world: int, header: bool) -> Tensor:
    """The rows (m, 2) of the lines that begin in the worker's range of bytes, wherever in a line the range begins."""
    begin = len(file.readline()) if header else 0
    start, stop = (begin + cut for cut in shard(file.seek(0, os.SEEK_END) - begin, rank, world))
    file.seek(start)
    if start > begin:  # the line with the byte before the cut belongs to another worker
        file.seek(start - 1)
        file.readline()
    numbers = array.array("d")
    while (place := file.tell()) < stop:
        if not (line := file.readline()):
            raise ValueError(f"{file.name} was cut short while it was read")
        try:
            # Python would read 1_000
            pair = [float(field.replace(b"_", b"?")) for field in line.split(b",") if line.strip()]
        except ValueError:
            pair = [math.nan]
        if len(pair) not in (0, 2) or not all(map(math.isfinite, pair)):
            file.seek(0)
            before = 0
            while chunk := file.read(min(place - file.tell(), 1 << 20)):
                before += chunk.count(b"\n")
            shown = line[:40].decode(errors="replace").strip()
            raise ValueError(f"{file.name}, line {before + 1}: {shown!r} is no pair of finite numbers")
        numbers.extend(pair)
    return torch.tensor(numbers, dtype=torch.float64).reshape(-1, 2)


def _npy_rows(file: BinaryIO, rank: int, world: int) -> Tensor:
    """The worker's rows (m, 2) of a .npy file, of float32 or float64 in C order."""
    line = file.readline(1 << 16)
    if not (line.startswith(b"\x93NUMPY") and line.endswith(b"\n")):
        raise ValueError(f"{file.name} does not begin as a .npy file does")
    said = line[10:].decode("latin1").strip("\0 \n")  # from version 2, the length ends in two zeros here
    if not (form := re.fullmatch(NPY_HEADER, said)):
        raise ValueError(f"{file.name} holds {said}, not <f4 or <f8 of shape (n, 2) in C order")
    begin, width, n = file.tell(), int(form[1]), int(form[2])
    if os.fstat(file.fileno()).st_size < begin + 2 * n * width:
        raise ValueError(f"{file.name} is cut short: its header promises {n} rows")
    start, stop = shard(n, rank, world)
    file.seek(begin + 2 * start * width)
    held = file.read(2 * (stop - start) * width)
    if len(held) < 2 * (stop - start) * width:
        raise ValueError(f"{file.name} was cut short while it was read")
    numbers = array.array("f" if width == 4 else "d", held)
    rows = torch.tensor(numbers, dtype=torch.float64).reshape(-1, 2)
    for row in rows.isfinite().all(dim=1).logical_not().nonzero()[:1, 0].tolist():
        raise ValueError(f"{file.name}, row {start + row} (from 0): {rows[row].tolist()} are not finite numbers")
    return rows
