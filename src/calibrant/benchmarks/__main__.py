"""The command `python -m calibrant.benchmarks`."""

import argparse
import json
import pkgutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from calibrant import benchmarks

COMMANDS = {
    "judge": ("speed:judge_times", 200),
    "arrangements": ("arrangements:measure", 500),
    "speed": ("speed:measure", 50),
    "formulas": ("formulas:measure", 2000),
    "ulps": ("ulps:measure", 200_000),
}
"""Each measurement, imported when it is asked for, which returns tables by their titles, and its number of timings, cases or examples."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one benchmark; 1 if the judge rejected what is right."""
    parser = argparse.ArgumentParser("python -m calibrant.benchmarks", description=benchmarks.__doc__.splitlines()[0])
    parser.add_argument("name", choices=COMMANDS, help="what to measure")
    defaults = ", ".join(f"{name} {cases}" for name, (_, cases) in COMMANDS.items())
    parser.add_argument("--cases", type=int, metavar="N", help=f"timings, cases or examples ({defaults})")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed of the random numbers (0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file, too")
    options = parser.parse_args(arguments)
    place, default = COMMANDS[options.name]
    cases = default if options.cases is None else options.cases
    if cases < 1:
        parser.error(f"--cases is {cases}: there is nothing to measure")
    tables = pkgutil.resolve_name(f"calibrant.benchmarks.{place}")(cases, options.seed)
    for title, rows in tables.items():
        print(f"\n{title}\n{table(rows)}")
    if options.json:
        options.json.write_text(json.dumps(tables, indent=1) + "\n", encoding="utf-8")
    return 1 if tables.get(benchmarks.REJECTED) else 0


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Format rows as columns of equal width."""
    if not rows:
        return "none"
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    cells = [[f"{x:.3g}" if isinstance(x, float) else str(x) for x in line] for line in lines]
    first, *others = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join([row[0].ljust(first), *map(str.rjust, row[1:], others)]) for row in cells)


if __name__ == "__main__":
    sys.exit(main())
