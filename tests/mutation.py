"""Mutation testing of the judge and of the reference: `tox -e mutation -- [--jobs N] [MODULE...]`.

mutmut makes the mutants: all of a module in one file, of which one at a time is awake. There are fourteen thousand, so this
module tries them: each in a process forked from one that has imported and collected everything, with those tests of its module
(TESTS) that reach its function until one fails, and those first that take little time and have killed others.
build/mutation/results.jsonl keeps the results: a run goes on where the last one ended, and tries again the mutants that lived
unexplained. tests/survivors.toml must explain every mutant that lives, and every mutant explained must live; those of a class that
is explained as a whole are not tried.

mutmut skips functions that have a decorator, so it gets modules in which a decorator is a call below its function. It does not
change code outside functions (constants, tables of defaults).
"""

from __future__ import annotations

import argparse
import ast
import collections
import contextlib
import dataclasses
import difflib
import functools
import gc
import json
import math
import os
import re
import resource
import shutil
import signal
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "build" / "mutation"
"""A copy of the project, with the mutants."""
LEDGER = FOLDER / "results.jsonl"
UNSETTLED = ("lived", "stalled")
"""Results that are tried again: a machine that is busy may be why a mutant stalled."""
MEMORY = 12 * 2**30
"""Bytes of address space that a mutant may use."""
OPTIONS = (
    "-q", "-x", "--tb=native", "--rootdir=.", "-n", "0", "-p", "no:cacheprovider", "-p", "no:hypothesispytest",
    "-p", "no:unraisableexception", "-p", "no:threadexception", "-W", "ignore::pytest.PytestAssertRewriteWarning",
    "--target", "reference", "--target-profile", "ci", "--target-examples", "20",
    "--target-timeout", "120", "-k", "not shrinks and not shipped",
)  # fmt: skip

WIDE = "test_answers_kept test_vectors::test_a_released_case_is_what_the_book_claims test_variants::test_a_variant_is_explained_once_or_declared"
"""Tests of all modules, besides their own: those of released answers with their bounds, and of conventions."""

OPTIMIZERS = "conformance/test_optimizers conformance/test_optimizers_in_common conformance/test_optimizers_long_runs"

TESTS = {
    "judge.comparing": "test_judge",
    "judge.formulas": "test_formula_agreement",
    "exact.formats": "test_exact_numbers test_judge",
    "exact.numbers": "test_exact_numbers test_judge",
    "exact.scalars": "test_exact_optimizers",
    "exact.optimizers": f"test_exact_optimizers test_variants {OPTIMIZERS}",
    "exact.further_rules": f"test_exact_optimizers {OPTIMIZERS}",
    "exact.muon": f"test_newest_optimizers {OPTIMIZERS}",
    "exact.schedule_free": f"test_newest_optimizers {OPTIMIZERS}",
    "exact.tensors": f"test_exact_optimizers {OPTIMIZERS}",
    "exact.loss": "test_judge test_exact_formulas conformance/test_loss conformance/test_model",
    "exact.gradients": "test_judge test_exact_formulas test_autograd conformance/test_gradients conformance/test_autograd",
    "exact.programs": "test_straight_line conformance/test_autograd",
    "exact.descent": "test_exact_formulas conformance/test_descent",
    "exact.data": "test_exact_formulas test_validation conformance/test_validation",
    "exact.accumulation": "test_accumulation test_exact_formulas conformance/test_accumulation",
    "exact.broadcasting": "test_exact_numbers conformance/test_broadcasting",
    "exact.validation": "test_validation conformance/test_validation",
    "exact.schedules": "test_schedules conformance/test_schedules",
    "exact.clipping": "test_schedules test_exact_training conformance/test_schedules",
    "exact.quasi_newton": "test_quasi_newton conformance/test_lbfgs",
    "exact.rows": "test_quasi_newton conformance/test_rows",
    "exact.training": "test_exact_training conformance/test_training",
    "mechanics.loss": "test_targets conformance/test_loss spec/loss",
    "mechanics.model": "test_targets conformance/test_model spec/model",
    "mechanics.data": "test_targets conformance/test_data conformance/test_descent spec/data",
    "mechanics.gradients": "test_targets conformance/test_gradients spec/gradients",
    "mechanics.descent": "test_targets conformance/test_descent spec/descent",
    "mechanics.broadcasting": "test_targets conformance/test_broadcasting spec/broadcasting",
    "mechanics.autograd": "test_autograd conformance/test_autograd spec/autograd",
    "mechanics.accumulation": "test_targets conformance/test_accumulation spec/accumulation",
    "mechanics.rules": f"test_optimizers {OPTIMIZERS} spec/optimizers",
    "mechanics.further_rules": f"test_optimizers {OPTIMIZERS} spec/optimizers",
    "mechanics.muon": f"test_optimizers {OPTIMIZERS} spec/optimizers",
    "mechanics.schedule_free": f"test_optimizers {OPTIMIZERS} spec/optimizers",
    "mechanics.optimizers": f"test_optimizers {OPTIMIZERS} conformance/test_training spec/optimizers",
    "mechanics.regularization": "test_targets conformance/test_validation spec/validation",
    "mechanics.validation": "test_targets conformance/test_validation spec/validation",
    "mechanics.schedules": "test_targets conformance/test_schedules spec/training",
    "mechanics.clipping": "conformance/test_schedules spec/training",
    "mechanics.lbfgs": "test_quasi_newton conformance/test_lbfgs spec/optimizers",
    "mechanics.rows": "test_quasi_newton conformance/test_rows spec/optimizers",
    "mechanics.training": "conformance/test_training spec/training",
    "mechanics.parallel": "test_parallel",
    "mechanics.shards": "test_parallel",
}
"""The mutated modules, each with its tests beside WIDE."""

ELSEWHERE = ("mechanics.parallel", "mechanics.shards")
"""Modules that run in processes of their own, where nobody sees which tests reach them: all of their own tests are run."""


def names_of(module: str) -> list[str]:
    """The names of the tests of a module."""
    return f"{TESTS[module]} {'' if module in ELSEWHERE else WIDE}".split()


def file_of(name: str) -> str:
    """The file of a name in TESTS, or a test in it."""
    file, colons, test = name.partition("::")
    return f"{file}.md" if file.startswith("spec/") else f"tests/{file}.py{colons}{test}"


def made(module: str) -> dict[str, str]:
    """Write the mutants of a module to FOLDER; return each change with mutmut's name for it."""
    from mutmut.mutation.file_mutation import mutate_file_contents

    path = f"src/calibrant/{module.replace('.', '/')}.py"
    file = mutate_file_contents(path, undecorated((ROOT / path).read_text(encoding="utf-8")))
    (FOLDER / path).write_text(file.code, encoding="utf-8")
    lines = file.code.split("\n")
    texts = {name: lines[span.start - 1 : span.end] for name, span in file.line_span_by_function_name.items()}
    mutants: dict[str, str] = {}
    for name in file.mutant_names:
        said = change(module, name, texts)
        while said in mutants:
            said += " (again)"
        mutants[said] = f"calibrant.{module}.{name}"
    return mutants


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
    own = whole.removeprefix("x_").rpartition("ǁ")[2]
    before = [line.replace(f"{whole}__mutmut_orig", own) for line in texts[f"{whole}__mutmut_orig"]]
    after = [line.replace(name, own) for line in texts[name]]
    differing = [
        (before[a:b], after[c:d])
        for tag, a, b, c, d in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
        if tag != "equal"
    ]
    old, new = (" ".join(line.strip() for pair in differing for line in pair[side]) for side in (0, 1))
    return f"{module} {whole.removeprefix('x_').removeprefix('x').strip('ǁ').replace('ǁ', '.')}: {old} -> {new}"


class Trial:
    """The plugin of a run that neither shrinks nor diagnoses a failure, and tries mutants instead of running the collected tests once."""

    def __init__(self, mutants: dict[str, dict[str, str]], jobs: int) -> None:
        self.mutants, self.jobs = mutants, jobs
        self.wrong = ["the run did not come to its end"]

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self) -> None:
        from calibrant.checks import outcomes
        from calibrant.suite.session import current

        current().shrink = False
        outcomes.diagnose = lambda *_: outcomes.Diagnosis()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        gc.freeze()
        wrong = []
        for module, mutants in self.mutants.items():
            try_all(module, mutants, session.items, self.jobs)
            known = results()
            print(module, dict(collections.Counter(known.get(said, "not tried") for said in mutants)), flush=True)
            wrong += errors(module, mutants, known)
        self.wrong = wrong
        return True


@dataclasses.dataclass
class Tests:
    """The collected tests of some module, the functions of it that each reaches, and the seconds that each takes."""

    items: list[pytest.Item]
    reached: dict[str, list[str]]
    seconds: dict[str, float]
    kills: collections.Counter[tuple[str, str]] = dataclasses.field(default_factory=collections.Counter)
    """How many mutants of a function each test has killed."""

    def of(self, mutant: str) -> list[pytest.Item]:
        """The tests that reach a mutant's function, those first that kill most in a second; all for a module that runs in other processes."""
        function = mutant.partition("__mutmut_")[0]
        unseen = function.rpartition(".")[0].removeprefix("calibrant.") in ELSEWHERE
        able = [item for item in self.items if unseen or function in self.reached[item.nodeid]]
        return sorted(able, key=lambda item: self.seconds[item.nodeid] / (self.kills[function, item.nodeid] + 0.2))


def passes(items: list[pytest.Item]) -> Iterator[pytest.Item]:
    """Run these tests, and yield each that passes, until one fails."""
    for item, after in zip(items, [*items[1:], None], strict=True):
        item.ihook.pytest_runtest_protocol(item=item, nextitem=after)
        if item.session.testsfailed:
            return
        yield item


def measured(items: list[pytest.Item]) -> dict[str, Any]:
    """Run these tests without a mutant: what Tests holds of them, of which those that passed."""
    from mutmut.mutation import trampoline

    gc.unfreeze()  # what is frozen is not listed
    kept = [x for x in gc.get_objects() if type(x) is functools._lru_cache_wrapper]
    # Formats are known by identity: there is one of each.
    caches = [x for x in kept if re.match(r"calibrant\.(?!exact\.formats)", str(x.__wrapped__.__module__))]
    reached: dict[str, list[str]] = {}
    seconds: dict[str, float] = {}
    hit: set[str] = set()
    trampoline.record_trampoline_hit = lambda name, caller: hit.add(name)
    trampoline.set_mutant_under_test("stats")
    del os.environ["MUTANT_UNDER_TEST"]  # or the processes that a test starts would count, too
    started = time.monotonic()
    for item in passes(items):
        reached[item.nodeid], seconds[item.nodeid] = sorted(hit), time.monotonic() - started
        hit.clear()
        for cache in caches:  # what one test has computed does not hide that the next one needs it
            cache.cache_clear()
        started = time.monotonic()
    return {"reached": reached, "seconds": seconds}


def forked(work: Callable[[], int], limit: int) -> tuple[str, int]:
    """Do some work in a process of its own: lived if it returns 0, else killed, timeout or stalled; and what it returns.

    It has so many seconds of the processor's time, and four times as many by the clock: it may wait for a process that it has started.
    """
    pid = os.fork()
    if not pid:
        code = 1
        try:
            os.setsid()
            with open("output.txt", "w") as output:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
                resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
                code = work()
        finally:
            os._exit(code)
    stalled = threading.Event()

    def stop() -> None:
        stalled.set()
        os.kill(pid, signal.SIGKILL)

    waiting = threading.Timer(4 * limit, stop)
    waiting.daemon = True
    waiting.start()
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    finally:
        waiting.cancel()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    result = {0: "lived", -signal.SIGXCPU: "timeout"}.get(code, "killed")
    return "stalled" if stalled.is_set() else result, code


def without_detours(mutant: str) -> None:
    """Put the functions of a mutant's module where those stand that ask at each call which mutant is awake.

    Where such a function is kept otherwise, in a table or a cache, it goes on asking.
    """
    home, _, chosen = mutant.rpartition(".")
    module, instead = sys.modules[home], dict[int, Any]()
    for key, functions in vars(module).items():
        if key.startswith("mutants_x"):
            of_class, _, name = key.removeprefix("mutants_x").removesuffix("__mutmut").rpartition("ǁ")
            place = vars(getattr(module, of_class.strip("ǁ"))) if of_class else vars(module)
            detour = place.get(name if of_class else name[1:])
            if getattr(getattr(detour, "__code__", None), "co_name", "") == "_trampoline_wrapper":
                instead[id(detour)] = functions.get(chosen, functions["_mutmut_orig"])
    ours = [one for one in sys.modules.values() if str(getattr(one, "__file__", "")).startswith(str(FOLDER))]
    for holder in [*ours, *(one for one in vars(module).values() if isinstance(one, type))]:
        for name, held in [*vars(holder).items()]:
            if id(held) in instead:
                setattr(holder, name, instead[id(held)])


def awake(mutant: str, items: list[pytest.Item]) -> int:
    """Run these tests here while the mutant is awake: the number of the first that fails, from 1 and at most 255, or 0."""
    from mutmut.mutation.trampoline import set_mutant_under_test

    set_mutant_under_test(mutant)
    without_detours(mutant)
    passed = sum(1 for _ in passes(items))
    return min(passed + 1, 255) if passed < len(items) else 0


@functools.cache
def survivors() -> list[dict[str, Any]]:
    """The entries of tests/survivors.toml: a reason each, and `changes` or a `pattern` of them."""
    text = Path(__file__).with_name("survivors.toml").read_text(encoding="utf-8")
    entries: list[dict[str, Any]] = tomllib.loads(text)["survivors"]
    return entries


def explained(said: str, tried: bool = True) -> bool:
    """Whether there is a reason why this mutant lives; for one that was not tried, that of a whole class."""
    once = said.removesuffix(" (again)" * said.count(" (again)"))
    return any(
        (tried and once in one.get("changes", ())) or re.fullmatch(one.get("pattern", "$"), once) for one in survivors()
    )


def results() -> dict[str, str]:
    """The results so far, by the change."""
    lines = LEDGER.read_text(encoding="utf-8").splitlines() if LEDGER.exists() else []
    return dict(map(json.loads, lines))


def tests_of(module: str, items: list[pytest.Item]) -> Tests:
    """The tests of a module, measured in a process of its own."""
    names = tuple(map(file_of, names_of(module)))
    own = [item for item in items if item.nodeid.startswith(names)]
    file = Path(f"{module}.json")

    def work() -> int:
        file.write_text(json.dumps(measured(own)), encoding="utf-8")
        return 0

    file.unlink(missing_ok=True)
    if forked(work, 3600)[0] != "lived":
        pytest.exit(f"the tests of {module} do not end: see {FOLDER}/output.txt", 1)
    tests = Tests(own, **json.loads(file.read_text(encoding="utf-8")))
    if failing := [item.nodeid for item in own if item.nodeid not in tests.seconds]:
        pytest.exit(f"without a mutant {failing[0]} does not pass", 1)
    return tests


def try_all(module: str, mutants: dict[str, str], items: list[pytest.Item], jobs: int) -> None:
    """Try the mutants of a module that have no result, or lived unexplained; write down the results."""
    known = results()
    fresh = [
        said for said in mutants if known.get(said, "lived") in UNSETTLED and not explained(said, tried=said in known)
    ]
    if not fresh:
        return
    tests = tests_of(module, items)

    def one(said: str) -> None:
        able = tests.of(mutants[said])
        limit = 10 + 3 * math.ceil(sum(tests.seconds[item.nodeid] for item in able))
        result, number = forked(functools.partial(awake, mutants[said], able), limit)
        if 0 < number <= min(len(able), 254):
            tests.kills[mutants[said].partition("__mutmut_")[0], able[number - 1].nodeid] += 1
        with LEDGER.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps([said, result])}\n")

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, fresh))


def errors(module: str, mutants: dict[str, str], known: dict[str, str]) -> list[str]:
    """Every error in the list of survivors of a module."""
    named = [said for one in survivors() for said in one.get("changes", ()) if said.startswith(f"{module} ")]
    return [
        *(f"lives: {said}" for said in mutants if known.get(said, "lived") in UNSETTLED and not explained(said)),
        *(f"is explained, but was {known[said]}: {said}" for said in named if known.get(said, "lived") != "lived"),
    ]


def main() -> None:
    """Try the mutants, print the results, and end with status 1 unless the list of survivors is right."""
    from hypothesis import Phase, settings

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(TESTS)} (all)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="this many processes at a time")
    options = parser.parse_args()
    for name in ("src", "tests", "spec"):
        shutil.copytree(ROOT / name, FOLDER / name, dirs_exist_ok=True)
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, FOLDER)
    mutants = {module: made(module) for module in options.modules or TESTS}
    os.chdir(FOLDER)
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{FOLDER}/src"}
    sys.path[:0] = [f"{FOLDER}/src", f"{FOLDER}/tests"]
    settings.register_profile("mutation", phases=(Phase.explicit, Phase.generate), database=None)
    settings.load_profile("mutation")
    trial = Trial(mutants, options.jobs)
    files = {file_of(name) for module in mutants for name in names_of(module)}
    pytest.main([*OPTIONS, *sorted(files)], plugins=[trial])
    sys.exit("\n".join(trial.wrong) if trial.wrong else 0)


if __name__ == "__main__":
    main()
