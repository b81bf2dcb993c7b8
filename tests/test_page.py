"""The page of a check: its structure, its escapes and its pictures, and how it works in a browser."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import chromium, tabs
from support import PATIENCE, PYTORCH, run, subject
from test_reports import outcome, result

from calibrant import exact
from calibrant.checks import outcomes as recorded
from calibrant.checks.check import Checked
from calibrant.checks.outcomes import Finding, Outcome
from calibrant.checks.verdicts import Result
from calibrant.judge import Disagreement, agree, agree_lists, at_most, holds
from calibrant.protocol.wire import plain
from calibrant.reports import page, pictures

HOSTILE = (
    "\u202eevil\x1b[31m\ud800<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;{{ 7*7 }}</style>\n\x00"
)
PLAIN = "theirs"


class Elements(HTMLParser):
    """The elements of a page, which must close in the order in which they opened."""

    VOID = ("meta", "input", "br", "img", "link")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), (tag, attrs)
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, self.getpos()

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def failing(clause: str, dtype: str, judge: Any, **operations: Any) -> Outcome:
    """The outcome of a clause that a target fails; `judge` calls the target."""
    target = subject(dtype, **operations)
    with (
        pytest.raises(Disagreement),
        recorded.recording(clause, "test_it", target, few=False) as record,
    ):
        judge(target)
    return record[0]


def summing(target: Any) -> None:
    t_p, t_c = (np.array(x, target.dtype) for x in ([0.0, 0.0], [0.0, 1.0]))
    agree(target.loss_fn(t_p, t_c), exact.loss_fn(exact.of(t_p, target.form), exact.of(t_c, target.form)))


def astray(target: Any) -> None:
    params, grads = [np.array([1.0, 2.0], target.dtype)], [[np.array([1.0, -1.0], target.dtype)]] * 4
    rate = {"lr": 0.5}
    steps = target.optimize("sgd", rate, params, grads)
    agree_lists(steps, exact.optimize("sgd", rate, params, grads, PYTORCH))


def uphill(name: str, hyperparameters: Any, params: Any, grads: Any) -> Any:
    return [[params[0] + 0.5 * (t + 1) * gradient[0]] for t, gradient in enumerate(grads)]


def in_both(target: Any) -> None:
    target.split(5, 0.4, 0)
    holds(False, "put the rows [2] into both parts")


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    """Outcomes of every kind: a number, a trajectory and a split that are wrong, and what else may become of a clause."""
    return [
        *(
            failing("loss.mean-square", d, summing, loss_fn=lambda a, b: ((a - b) ** 2).sum())
            for d in ("float32", "float64")
        ),
        failing("optimizer.sgd", "float32", astray, optimize=uphill),
        failing("split.partition", "float32", in_both, split=lambda n, f, s: (np.arange(3), np.arange(2, 5))),
        outcome("loss.zero", "holds"),
        outcome("loss.empty", "breaks", refused=1200),
        outcome("loss.scalar", "holds", deviation="it is declared"),
        outcome("loss.nan", "breaks", deviation="it rounds"),
        outcome("model.linear", "absent", reason="theirs has no model", failure=None),
        outcome("model.shape", "undecided", refused=3, refusal="it wants a matrix"),
    ]


def shown(checked: Result, *others: Checked) -> str:
    return page.text([Checked("theirs.py", checked), *others])


def hostile(text: str) -> Result:
    """A check of which everything that a target may say is this text."""
    impostor = {"operation": "loss_fn", "name": text, "kind": "bug", "sentence": text, "clauses": [], "seen": [text]}
    call = {"operation": text, "arguments": {text: text, "x": {text: [text]}}, "answer": text}
    finding = Finding(f"  {text}", [call], text, text, [text], 1.0, 0.5, 2.0, 3.0, [impostor], text, [text], [[text]])
    outcomes = [
        outcome("loss.zero", "breaks", failure=finding),
        outcome("loss.scalar", "absent", reason=text, failure=None),
        outcome("loss.nan", "breaks", deviation=text),
        outcome("loss.empty", "holds", deviation=text, refused=3, refusal=text),
    ]
    conventions = {text: text}
    return result(outcomes, name=text, version=text, spec=text, conventions=conventions, warnings=[text])


def test_a_page_is_well_formed_and_its_links_lead_somewhere(outcomes: list[Outcome]) -> None:
    failed = Checked("nonsense", None, "no such file")
    for html in (
        shown(result(outcomes)),
        shown(result([])),
        shown(result(outcomes), failed, Checked("b", result(outcomes))),
    ):
        elements = Elements(html)
        ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
        assert len(ids) == len(set(ids))
        for link in elements.of("a"):
            assert link["href"] is not None
            assert link["href"].startswith("https://") or link["href"][1:] in ids, link
        assert all(head.get("scope") for head in elements.of("th"))
        assert all(part.get("aria-labelledby") in ids or part.get("aria-label") for part in elements.of("section"))
        assert len(elements.of("h1")) == len(elements.of("main")) == 1
        assert "None" not in re.sub(r"<(style|script|code)\b.*?</\1>", "", html, flags=re.DOTALL)


def test_a_page_needs_nothing_else_and_forbids_it(outcomes: list[Outcome]) -> None:
    """The policy names its own style and script by their hashes: nothing else runs, and nothing is fetched."""
    html = shown(result(outcomes))
    elements = Elements(html)

    assert not {"link", "img", "iframe", "object"} & {tag for tag, _ in elements.found}
    assert not [
        name
        for _, attributes in elements.found
        for name in attributes
        if name.startswith("on") or name in ("src", "style")
    ]
    (policy,) = [meta["content"] for meta in elements.of("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    for tag in ("style", "script"):
        (source,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_what_a_target_says_is_only_text() -> None:
    """Hostile words give the same elements as plain ones, and no character that moves others."""
    plain, evil = shown(hostile(PLAIN)), shown(hostile(HOSTILE))

    def outline(html: str) -> Counter[tuple[str, frozenset[str]]]:
        return Counter((tag, frozenset(attributes)) for tag, attributes in Elements(html).found)

    assert outline(evil) == outline(plain)
    assert "evil" in evil
    assert not [c for c in evil if not c.isprintable() and c != "\n"]
    assert "49" not in evil.split("<main")[1].split("Environment")[0], "a target's words were taken for a template"


def test_a_link_of_an_impostor_is_a_link_only_to_the_web() -> None:
    assert 'href="javascript' not in shown(hostile("javascript:alert(1)"))
    assert 'href="https://github.com/a/b/issues/1"' in shown(hostile("https://github.com/a/b/issues/1"))


def test_a_failure_is_shown_with_all_that_is_known(outcomes: list[Outcome]) -> None:
    html = shown(result(outcomes, warnings=["optimise means nothing"]))

    assert "Warning:</strong> optimise means nothing." in html
    for part in ("loss_fn([0.0, 0.0], [0.0, 1.0]) returned 1.0", "<dt>exact value</dt><dd>0.5 = 1/2</dd>", "bounds, "):
        assert part in html, part
    assert "<dt>bound</dt><dd>3.8743e-07</dd>" in html
    assert "theirs has no model" in html
    assert "1,203 requests not served" in html
    assert re.search(r"loss\.empty</code></a>: 1,200</li><li>.*model\.shape</code></a>: 3 \(it wants a matrix\)", html)
    assert "it rounds" in html
    assert "print(target.loss_fn(" in html
    assert html.index('name">loss.mean-square</code>') < html.index('name">loss.empty</code>'), "warnings come last"


def test_every_dtype_that_fails_otherwise_is_shown(outcomes: list[Outcome]) -> None:
    """The bounds of float32 and float64 differ."""
    html = shown(result(outcomes))

    assert "In float64</summary>" in html
    assert "<dd>3.8743e-07</dd>" in html
    assert "e-16</dd>" in html


def test_a_trajectory_and_the_rows_of_a_split_are_drawn(outcomes: list[Outcome]) -> None:
    """What came back beside the exact: four steps each."""
    html = shown(result(outcomes))

    assert html.count('class="point exact"') == html.count('class="point came-back"') == 4
    assert "The rows of the split: 2 in training, 2 in validation, 1 in both." in html
    assert "step, element" in html


def test_the_errors_of_a_clause_are_drawn_and_widened_bounds_count_as_the_bounds() -> None:
    """Over its properties and dtypes. The largest error is kept in units of the bound before it was widened."""
    first, second = [1, 0, 0, 0, 0, 0, 0, 0, 0, 4], [2, 0, 0, 0, 0, 0, 0, 0, 0, 1000]
    outcomes = [outcome("loss.zero", "holds", dtype, spread=first, worst=2.0) for dtype in ("float32", "float64")]
    checked = result([*outcomes, outcome("loss.zero", "holds", property="test_more", spread=second)], slack=4.0)
    html = shown(checked)

    assert [verdict.spread[-1] for verdict in checked.verdicts] == [1004, 4]
    assert "Of 1,012 errors 4 are half of their bound or more, 1,008 less than 1/512 of it." in html
    assert "2 are within their bound, 0 outside." in html
    assert '<td class="number">0.5<svg' in html


def test_pictures_hold_whatever_numbers_came_back() -> None:
    inf, nan = float("inf"), float("nan")

    assert "2 of 4 numbers are outside" in pictures.errors([0.0, 0.5, 3.0, inf])
    assert "1 in neither, 1 in twice, 1 in unknown" in pictures.rows_of_a_split([0, 0], [7], 2)
    for numbers in ([nan, inf, -inf], [1.0, 1.0, 1.0], [1e300, -1e300, 0.0], [1e-320, 1e300, 2.0], []):
        drawn = pictures.sequence(numbers, [1.0, 2.0, 3.0], "step")
        assert "nan" not in drawn
        assert "inf" not in drawn
    assert pictures.margins([("loss", [("a", 1e30, "#a"), ("b", 1e-30, "#b"), ("c", inf, "#c")])]).count("<a ") == 3


def test_a_finding_that_a_target_forged_is_shown_and_stops_nothing() -> None:
    array = {"dtype": "float32", "shape": [3], "data": [1.0, "NaN", None]}
    arrays = [
        array,
        array | {"shape": [7]},
        array | {"data": 5},
        array | {"data": [0, 0, 10**400]},
        array | {"shape": [10**12, 0], "data": []},
        array | {"dtype": "M8[s]"},
        array | {"dtype": [array]},
        10**400,
    ]
    for forged in ("x", 7, [], {}, [[]], {"dtype": "nonsense", "shape": "x", "data": [1]}, *arrays, arrays, arrays[:2]):
        calls = [{"operation": "split", "arguments": {"n_samples": forged}, "answer": forged}]
        several = forged if isinstance(forged, list) else [forged]
        finding = Finding(
            "  said", calls, forged, forged, ["1/0"] * 3, forged, forged, forged, forged, [], "x", several, [several]
        )  # type: ignore[arg-type]  # it is forged
        assert "said" in shown(result([outcome("loss.zero", "breaks", failure=finding)]))


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (np.array([True, False]), "[True, False]"),
        (np.array([3, 250], dtype=np.uint8), "[3, 250]"),
        (np.array(0.5, dtype=np.longdouble), "0.5"),
    ],
)
def test_an_array_of_any_numbers_is_shown_as_a_person_writes_it(x: Any, text: str) -> None:
    assert page.value(plain(x)) == text


def test_two_computed_numbers_that_disagree_are_shown_without_a_bound_of_each() -> None:
    def order(target: Any) -> None:
        numbers = [exact.of(np.array(x, target.dtype), target.form) for x in (3.0, 2.0)]
        at_most(*numbers, "the loss rose")

    one = failing("loss.convex", "float64", order, loss_fn=len)

    assert one.failure is not None
    assert one.failure.allowed is None
    assert "the loss rose: 3.0 is more than 2.0" in shown(result([one]))


def test_each_failing_cell_of_a_matrix_leads_to_its_failure(outcomes: list[Outcome]) -> None:
    right = result([outcome("loss.mean-square", "holds")])
    html = page.text(
        [Checked("right", right), Checked("wrong", result(outcomes)), Checked("absent", None, "it is not there")]
    )

    table = html.split('<table class="matrix">')[1].split("</table>")[0]
    row = next(part for part in table.split("<tr") if "loss.mean-square" in part)
    assert re.findall(r"status (\w+)", row) == ["holds", "breaks"]
    assert 'href="#t2-loss.mean-square"' in row
    assert '<div id="t2-loss.mean-square"' in html
    assert "cannot be checked here: it is not there" in html


def luminance(color: str) -> float:
    channels = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_stands_out_from_its_ground_in_light_and_dark() -> None:
    """By WCAG 2, 1.4.3: a contrast of 4.5 at least."""
    css = (Path(page.__file__).parent / "templates" / "page.css").read_text(encoding="utf-8")
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#\w{6})", part)) for part in css.split("* { box-sizing")[0].split("@media")
    )
    pairs = [(ink, ground) for ink in ("ink", "soft", "link", "bad", "good", "odd") for ground in ("ground", "panel")]
    pairs += [(name, f"{name}-fill") for name in ("good", "bad", "odd", "warn", "calm")]
    pairs += [("ink", "fill"), ("soft", "fill"), ("ink", "calm-fill"), ("link", "calm-fill"), ("warn", "panel")]

    assert light.keys() == dark.keys()
    for colors in (light, dark):
        for ink, ground in pairs:
            darker, lighter = sorted((luminance(colors[ink]), luminance(colors[ground])))
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (ink, ground)


def test_only_the_page_needs_jinja() -> None:
    source = "import sys\nfrom calibrant.reports import writers\nprint('jinja2' in sys.modules)"

    assert run("-c", source).stdout == "False\n"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """A function that opens a page from its text."""
    file = tmp_path / "page.html"

    with tabs(browser, "file:") as open_page:

        def open_text(html: str, anchor: str = "", **settings: Any) -> Any:
            file.write_text(html, encoding="utf-8")
            return open_page(f"file://{file}{anchor}", **settings)

        yield open_text


def test_a_browser_filters_opens_and_copies(opened: Any, outcomes: list[Outcome]) -> None:
    tab = opened(shown(result(outcomes)), permissions=["clipboard-read", "clipboard-write"])
    rows, cards = tab.locator(".clauses tr.item:visible"), tab.locator(".failure:visible")
    assert (rows.count(), cards.count()) == (9, 5)

    tab.get_by_role("searchbox", name="Search").fill("sgd")
    assert rows.all_inner_texts()[0].split()[1] == "optimizer.sgd"
    assert (rows.count(), cards.count()) == (1, 1)
    assert tab.locator("#shown").inner_text() == "1 of 9 clauses"
    tab.get_by_role("button", name="Clear").click()
    tab.get_by_role("combobox", name="Chapter").select_option("model")
    assert rows.count() == 2
    tab.get_by_role("combobox", name="Chapter").select_option("")
    tab.get_by_role("combobox", name="Status").select_option("failing")
    assert rows.count() == 5

    card = tab.locator(".failure").filter(has=tab.locator("code.name", has_text="split.partition"))
    assert not card.locator("figure").is_visible()
    card.locator("summary").first.focus()
    tab.keyboard.press("Enter")
    assert card.locator("figure").is_visible()
    copy = card.get_by_role("button", name="Copy")
    # The page copies after the click has returned, and the button says so for two seconds only: what it said is kept.
    copy.evaluate(
        "one => new MutationObserver(() => { window.told ??= one.textContent }).observe(one, {childList: true})"
    )
    copy.click()
    # The page's policy forbids what wait_for_function evaluates, unless it holds at once.
    until = time.monotonic() + PATIENCE
    while not tab.evaluate("window.told") and time.monotonic() < until:
        tab.wait_for_timeout(20)
    assert tab.evaluate("window.told") == "Copied"
    assert tab.evaluate("navigator.clipboard.readText()") == card.locator("pre code").inner_text()


def test_a_link_opens_the_failure_that_it_names(opened: Any, outcomes: list[Outcome]) -> None:
    tab = opened(shown(result(outcomes)), "#split.partition")

    assert tab.locator("[id='split.partition'] figure").is_visible()


def test_a_browser_without_scripts_shows_everything_but_the_filter(opened: Any, outcomes: list[Outcome]) -> None:
    tab = opened(shown(result(outcomes)), java_script_enabled=False)

    assert not tab.get_by_role("searchbox", name="Search").is_visible()
    assert tab.locator(".clauses tr.item").count() == 9
    card = tab.locator(".failure").filter(has=tab.locator("code.name", has_text="split.partition"))
    card.locator("summary").first.click()
    assert card.locator("pre").is_visible()
    assert not card.get_by_role("button").is_visible()


def test_a_browser_runs_nothing_that_a_target_says(opened: Any, outcomes: list[Outcome]) -> None:
    tab = opened(shown(hostile(HOSTILE)), viewport={"width": 400, "height": 800})

    assert "<script>alert(1)</script>" in tab.locator("h1").inner_text()
    assert tab.locator("script").count() == 1
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the window"
