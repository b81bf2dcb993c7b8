"""Mutation testing of the judge and of the reference: `tox -e mutation -- [--jobs N] [--sample N] [MODULE...]`.

mutmut makes the mutants: all of a module in one file, of which one at a time is awake. There are seven thousand, so this module
tries them: each in a process forked from one that has imported and collected everything, with the tests of its module (TESTS), the
quickest first, until one fails. build/mutation keeps the results, so that a run goes on where the last one ended and tries again
the mutants that lived unexplained. tests/survivors.toml must explain every mutant that lives, and every mutant explained must live.

mutmut skips functions that have a decorator, so it gets modules in which a decorator is a call below its function. It does not
change code outside functions (constants, tables of defaults).
"""

from __future__ import annotations

import argparse
import ast
import collections
import difflib
import gc
import hashlib
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "build" / "mutation"
SURVIVORS = Path(__file__).with_name("survivors.toml")
SEED = 4
"""Of the samples."""
MEMORY = 12 * 2**30
"""Bytes of address space that a mutant may use."""
OPTIONS = (
    "-q", "-x", "--rootdir=.", "-n", "0", "-p", "no:cacheprovider", "-p", "no:hypothesispytest",
    "-p", "no:unraisableexception", "-p", "no:threadexception", "-W", "ignore::pytest.PytestAssertRewriteWarning",
    "--target", "reference", "--target-profile", "ci", "--target-examples", "20",
    "--target-timeout", "120", "-k", "not shrinks and not shipped",
)  # fmt: skip

TESTS = {
    "judge.comparing": "test_judge",
    "exact.formats": "test_exact_numbers test_judge",
    "exact.numbers": "test_exact_numbers test_judge",
    "exact.scalars": "test_exact_optimizers",
    "exact.optimizers": "test_exact_optimizers test_variants conformance/test_optimizers",
    "exact.loss": "test_judge conformance/test_loss",
    "exact.model": "test_judge conformance/test_model",
    "exact.gradients": "test_judge test_exact_formulas conformance/test_gradients",
    "exact.descent": "test_exact_formulas conformance/test_descent",
    "exact.data": "test_exact_formulas test_validation conformance/test_validation",
    "exact.accumulation": "test_accumulation conformance/test_accumulation",
    "exact.autograd": "test_autograd conformance/test_autograd",
    "exact.broadcasting": "test_exact_numbers conformance/test_broadcasting",
    "exact.validation": "test_validation conformance/test_validation",
    "mechanics.loss": "test_targets conformance/test_loss spec/loss",
    "mechanics.model": "test_targets conformance/test_model spec/model",
    "mechanics.data": "test_targets conformance/test_data conformance/test_descent spec/data",
    "mechanics.gradients": "test_targets conformance/test_gradients spec/gradients",
    "mechanics.descent": "test_targets conformance/test_descent spec/descent",
    "mechanics.broadcasting": "test_targets conformance/test_broadcasting spec/broadcasting",
    "mechanics.autograd": "test_autograd conformance/test_autograd spec/autograd",
    "mechanics.accumulation": "test_targets conformance/test_accumulation spec/accumulation",
    "mechanics.rules": "test_optimizers conformance/test_optimizers spec/optimizers",
    "mechanics.optimizers": "test_optimizers conformance/test_optimizers spec/optimizers",
    "mechanics.regularization": "test_targets conformance/test_validation spec/validation",
    "mechanics.validation": "test_targets conformance/test_validation spec/validation",
}
"""The mutated modules, each with its tests; not mechanics.shards and mechanics.parallel, whose tests start real processes."""


# Making mutants


def made(only: list[str]) -> dict[str, dict[str, str]]:
    """Write the mutants of these modules to the copy of the project in FOLDER; return each change with mutmut's name for it."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines():
        if (ROOT / name).is_file():
            write(FOLDER / name, (ROOT / name).read_bytes())
    return {module: made_of(module) for module in only}


def made_of(module: str) -> dict[str, str]:
    """The mutants of one module, made again only if it has changed."""
    path = f"src/calibrant/{module.replace('.', '/')}.py"
    source = undecorated((ROOT / path).read_text(encoding="utf-8"))
    kept = FOLDER / f"{module}-{hashlib.sha256(source.encode()).hexdigest()[:16]}.json"
    if not kept.exists():
        from mutmut.mutation.file_mutation import mutate_file_contents

        file = mutate_file_contents(path, source)
        lines = file.code.split("\n")
        texts = {name: lines[span.start - 1 : span.end] for name, span in file.line_span_by_function_name.items()}
        mutants: dict[str, str] = {}
        for name in file.mutant_names:
            said = change(module, name, texts)
            while said in mutants:
                said += " (again)"
            mutants[said] = f"calibrant.{module}.{name}"
        kept.write_text(json.dumps({"code": file.code, "mutants": mutants}), encoding="utf-8")
    document: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    write(FOLDER / path, document["code"].encode())
    found: dict[str, str] = document["mutants"]
    return found


def write(file: Path, content: bytes) -> None:
    """Write a file unless it has this content."""
    if not file.exists() or file.read_bytes() != content:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def undecorated(source: str) -> str:
    """Replace `@decorator` above each function by `f = decorator(f)` below it."""
    lines = source.split("\n")
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    for node in sorted(functions, key=lambda node: -node.lineno):
        value = node.name
        for decorator in reversed(node.decorator_list):
            value = f"{ast.unparse(decorator)}({value})"
            for line in range(decorator.lineno - 1, decorator.end_lineno or 0):
                lines[line] = ""
        if node.decorator_list:
            lines.insert(node.end_lineno or 0, f"{' ' * node.col_offset}{node.name} = {value}")
    return "\n".join(lines)


def change(module: str, name: str, texts: dict[str, list[str]]) -> str:
    """The change that a mutant makes: `module function: old -> new`."""
    whole = name.partition("__mutmut_")[0]
    before = [line.replace(f"{whole}__mutmut_orig", whole) for line in texts[f"{whole}__mutmut_orig"]]
    after = [line.replace(name, whole) for line in texts[name]]
    differing = [
        (before[a:b], after[c:d])
        for tag, a, b, c, d in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
        if tag != "equal"
    ]
    old, new = (" ".join(line.strip() for pair in differing for line in pair[side]) for side in (0, 1))
    return f"{module} {whole.removeprefix('x_').removeprefix('x').strip('ǁ').replace('ǁ', '.')}: {old} -> {new}"


# Trying them


class Watch:
    """The plugin of a run: it starts with the quickest tests, shrinks and names no failure, and ends a test that hangs."""

    def __init__(self, durations: dict[str, float]) -> None:
        from calibrant.diagnosis import diagnosing

        self.diagnose = diagnosing.diagnose
        self.known = durations
        self.durations: dict[str, float] = {}
        self.failed = ""

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self) -> None:
        from calibrant.suite.session import current

        current().shrink = False

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items.sort(key=lambda item: self.known.get(item.nodeid, 0.0))

    def pytest_runtest_setup(self, item: Any) -> None:
        """End a test that computes ten times as long as before, and five seconds more."""
        from calibrant.diagnosis import diagnosing

        untold = diagnosing.Diagnosis()
        diagnosing.diagnose = self.diagnose if item.get_closest_marker("clause") is None else lambda *_: untold
        self.failed = item.nodeid
        if self.known:
            signal.signal(signal.SIGPROF, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_PROF, 5 + 10 * self.known.get(item.nodeid, 1.0))

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.durations[report.nodeid] = self.durations.get(report.nodeid, 0.0) + report.duration


def imported(tests: list[str]) -> None:
    """Import and collect everything that a forked process needs, without running it."""
    from hypothesis import Phase, settings

    settings.register_profile("mutation", phases=(Phase.explicit, Phase.generate), database=None)
    settings.load_profile("mutation")
    run(tests, "", {}, "--collect-only", "-qq")
    gc.freeze()


def run(tests: list[str], mutant: str, durations: dict[str, float], *more: str) -> tuple[int, Watch]:
    """Run these tests here while the mutant is awake."""
    from mutmut.mutation.trampoline import set_mutant_under_test

    set_mutant_under_test(mutant)
    watch = Watch(durations)
    return int(pytest.main([*OPTIONS, *more, *map(file_of, tests)], plugins=[watch])), watch


def file_of(name: str) -> str:
    """The file of a name in TESTS."""
    return f"{name}.md" if name.startswith("spec/") else f"tests/{name}.py"


def forked(tests: list[str], mutant: str, durations: dict[str, float]) -> dict[str, Any]:
    """Try a mutant in a process of its own: killed (and by which test), timeout or lived; with the durations of all tests."""
    start = time.monotonic()
    pid = os.fork()
    if not pid:
        status: Any = "killed"
        watch = Watch({})
        try:
            with open(FOLDER / "output.txt", "w") as output:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
                code, watch = run(tests, mutant, durations)
                status = {0: "lived", 1: "killed"}.get(code, "killed")
        finally:
            said = {"status": status, "by": watch.failed if status == "killed" else "", "durations": watch.durations}
            (FOLDER / f"{os.getpid()}.json").write_text(json.dumps(said), encoding="utf-8")
            os._exit(0)
    _, code = os.waitpid(pid, 0)
    file = FOLDER / f"{pid}.json"
    said = {"status": "timeout", "by": "", "durations": {}}
    if file.exists():
        said = json.loads(file.read_text(encoding="utf-8"))
        file.unlink()
    return said | {"seconds": round(time.monotonic() - start, 1)}


def timed(modules: list[str]) -> dict[str, float]:
    """The duration of each test while no mutant is awake; all must pass then. Measured again when a file changes."""
    kept = FOLDER / "durations.json"
    digest = hashlib.sha256()
    for file in sorted(file for folder in ("src", "tests", "spec") for file in (FOLDER / folder).rglob("*.[pm][yd]")):
        digest.update(file.read_bytes())
    document = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    durations: dict[str, float] = document.get(digest.hexdigest(), {})
    for name in dict.fromkeys(name for module in modules for name in TESTS[module].split()):
        if not any(nodeid.startswith(file_of(name)) for nodeid in durations):
            found = forked([name], "", {})
            if found["status"] != "lived":
                sys.exit(f"{file_of(name)} does not pass without a mutant: {found['by']}, see {FOLDER}/output.txt")
            durations |= found["durations"]
            kept.write_text(json.dumps({digest.hexdigest(): durations}, indent=1), encoding="utf-8")
    return durations


def sampled(module: str, mutants: list[str], size: int | None) -> list[str]:
    """Some of a module's mutants, or all of them, always in the same order."""
    mutants = sorted(mutants)
    random.Random(f"{SEED} {module}").shuffle(mutants)
    return mutants[:size]


def main() -> None:
    """Try the mutants, print the results by module, and end with status 1 unless the list of survivors is right."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(TESTS)} (all)")
    parser.add_argument("--sample", type=int, metavar="N", help="at most this many of each module, always the same")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="this many processes at a time")
    parser.add_argument("--report", action="store_true", help="try nothing, print the known results")
    options = parser.parse_args()
    modules: list[str] = options.modules or list(TESTS)
    unknown = [module for module in modules if module not in TESTS]
    if unknown:
        parser.error(f"there is no module {unknown[0]}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    mutants = made(modules)
    reasons = Reasons()
    ledger = FOLDER / "results.jsonl"
    results: dict[str, dict[str, Any]] = {}
    for line in ledger.read_text(encoding="utf-8").splitlines() if ledger.exists() else ():
        result = json.loads(line)
        results[result["change"]] = result
    if not options.report:
        os.chdir(FOLDER)
        os.environ["OMP_NUM_THREADS"] = "1"
        sys.path[:0] = [str(FOLDER / "src"), str(FOLDER / "tests")]
        imported(list(dict.fromkeys(name for module in modules for name in TESTS[module].split())))
        durations = timed(modules)

        def tried(module: str, said: str) -> None:
            found = forked(TESTS[module].split(), mutants[module][said], durations)
            results[said] = {
                "change": said,
                "module": module,
                **{key: found[key] for key in ("status", "by", "seconds")},
            }
            with open(ledger, "a", encoding="utf-8") as file:
                file.write(json.dumps(results[said]) + "\n")
            print(f"{found['status']:8}{found['seconds']:6}  {said}", flush=True)

        with ThreadPoolExecutor(options.jobs) as pool:
            for module in modules:
                unexplained = [
                    said
                    for said in mutants[module]
                    if results.get(said, {}).get("status") == "lived" and not reasons.explain(said)
                ]
                fresh = [said for said in sampled(module, list(mutants[module]), options.sample) if said not in results]
                for said in [*unexplained, *fresh]:
                    pool.submit(tried, module, said)
    sys.exit(report(mutants, results, reasons))


def report(mutants: dict[str, dict[str, str]], results: dict[str, dict[str, Any]], reasons: Reasons) -> int:
    """Print the counts of each module and every error in the list of survivors; return the status to end with."""
    total: collections.Counter[str] = collections.Counter()
    wrong = []
    print(f"\n{'module':26}{'mutants':>9}{'tried':>7}{'killed':>8}{'timeout':>9}{'explained':>11}{'living':>8}")
    for module, of_module in mutants.items():
        known = {said: results[said]["status"] for said in of_module if said in results}
        living = [said for said, status in known.items() if status == "lived"]
        counts = collections.Counter(known.values())
        counts |= {"mutants": len(of_module), "tried": len(known), "explained": sum(map(reasons.explain, living))}
        counts["living"] = len(living) - counts["explained"]
        total += counts
        line(module, counts)
        wrong += [f"lives: {said}" for said in living if not reasons.explain(said)]
        mine = [said for said in reasons.changes if said.startswith(f"{module} ")]
        wrong += [f"is explained, but is no mutant: {said}" for said in mine if said not in of_module]
        wrong += [f"is explained, but was killed: {said}" for said in mine if known.get(said, "lived") != "lived"]
    if len(results) >= total["mutants"] > 0 and total["tried"] == total["mutants"]:
        lived = [said for said, result in results.items() if result["status"] == "lived"]
        wrong += [
            f"explains nothing: {pattern.pattern}"
            for pattern in reasons.patterns
            if not any(map(pattern.fullmatch, lived))
        ]
    line("all", total)
    print(*wrong, sep="\n")
    return 1 if wrong else 0


class Reasons:
    """tests/survivors.toml."""

    def __init__(self) -> None:
        entries = tomllib.loads(SURVIVORS.read_text(encoding="utf-8"))["survivors"]
        self.changes = [said for entry in entries for said in entry.get("changes", ())]
        self.patterns = [re.compile(entry["pattern"]) for entry in entries if "pattern" in entry]

    def explain(self, said: str) -> bool:
        """Whether a reason explains why this mutant lives."""
        once = said.removesuffix(" (again)" * said.count(" (again)"))
        return once in self.changes or any(pattern.fullmatch(once) for pattern in self.patterns)


def line(name: str, counts: collections.Counter[str]) -> None:
    """One line of the table."""
    print(
        f"{name:26}{counts['mutants']:9}{counts['tried']:7}{counts['killed']:8}{counts['timeout']:9}"
        f"{counts['explained']:11}{counts['living']:8}"
    )


if __name__ == "__main__":
    main()
