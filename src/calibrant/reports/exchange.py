"""The verdicts for programs that know nothing of calibrant: JUnit's XML, and the endpoint of shields.io."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from calibrant.protocol.errors import printable, shortened
from calibrant.reports.closing import outcome
from calibrant.reports.findings import Told, told, totals, without_indent

if TYPE_CHECKING:
    from calibrant.checks.check import Checked
    from calibrant.checks.verdicts import Verdict


def junit(checks: Sequence[Checked]) -> str:
    """A test suite for each target, a test case for each clause and dtype.

    A clause that is broken is a failure if it is a MUST. A SHOULD, and what the target declares or does not offer, is skipped with
    its reason: no reader of JUnit's format knows a warning.
    """
    suites = ElementTree.Element("testsuites", name="calibrant")
    for one in checks:
        suite = ElementTree.SubElement(suites, "testsuite", name=printable(one.name))
        if one.result is None:
            case = ElementTree.SubElement(suite, "testcase", classname=printable(one.name), name="check")
            ElementTree.SubElement(case, "error", message=printable(one.problem or ""))
        else:
            for clause in told(one.result):
                for verdict in clause.verdicts:
                    names = {"classname": f"{clause.chapter}.{clause.name}", "name": f"{clause.name}[{verdict.dtype}]"}
                    _judge(ElementTree.SubElement(suite, "testcase", names), clause, verdict)
        cases = list(suite)
        for tag, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            suite.set(name, str(sum(case.find(tag) is not None for case in cases)))
        suite.set("tests", str(len(cases)))
    for name in ("tests", "failures", "errors", "skipped"):
        suites.set(name, str(sum(int(suite.get(name, "0")) for suite in suites)))
    ElementTree.indent(suites, " ")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _judge(case: ElementTree.Element, clause: Told, verdict: Verdict) -> None:
    """Write into a test case what became of its clause."""
    if verdict.status == "holds":
        return
    tag = "error" if verdict.status == "error" else "failure" if verdict.fails(strict=clause.strict) else "skipped"
    reason = f": {verdict.reason}" if verdict.reason else ""
    message = f"{verdict.status}{reason}" if tag == "skipped" else f"{clause.sentence}{reason}"
    part = ElementTree.SubElement(case, tag, message=shortened(printable(message), 300))
    if tag != "skipped":
        part.set("type", verdict.status)
    texts = [without_indent(failure.text) for failure in verdict.failures]
    texts += [f"To see it:\n{failure.snippet}" for failure in verdict.failures[:1] if failure.snippet]
    part.text = printable("\n\n".join(texts)) or None


def shield(checks: Sequence[Checked]) -> str:
    """What an endpoint badge of shields.io reads: https://shields.io/badges/endpoint-badge."""
    worst = max(checks, key=lambda one: (0, 2, 1)[one.exit_status])
    conforming = sum(one.exit_status == 0 for one in checks)
    color = ("brightgreen", "red", "lightgrey")[worst.exit_status]
    if len(checks) > 1:
        message = f"{conforming} of {len(checks)} targets conform"
    elif worst.result is None:
        message = "not checked"
    else:
        found = totals(told(worst.result))
        judged = sum(found[status] for status in found if status not in ("absent", "undecided"))
        holds = f"{found['holds']} of {judged} clauses"
        message = holds if worst.exit_status == 0 and judged else shortened(outcome(worst.result), 60)
        message += f", {holds}" * (worst.exit_status == 1)
    badge = {
        "schemaVersion": 1,
        "label": "calibrant",
        "message": message,
        "color": color,
        "isError": worst.exit_status == 1,
    }
    return json.dumps(badge, indent=1) + "\n"
