"""Pages in a browser."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """Chromium, with no network of its own. Where there is none, the test is skipped."""
    playwright = pytest.importorskip(
        "playwright.sync_api",
        reason="Playwright is not installed here, so no page is opened in a browser: pip install playwright",
    )
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed here, so no page is opened in a browser: apt-get install chromium")
    off = ("quic", "gpu", "background-networking", "component-update", "sync")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *(f"--disable-{x}" for x in off)])
        yield browser
        browser.close()


@contextlib.contextmanager
def tabs(browser: Any, *origins: str) -> Iterator[Callable[..., Any]]:
    """A function that opens a page. In the end the browser must have complained of nothing, and fetched only from the origins."""
    said: list[str] = []
    contexts = []

    def open_page(address: str, **settings: Any) -> Any:
        contexts.append(context := browser.new_context(**settings))
        tab = context.new_page()
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("dialog", lambda dialog: said.append(dialog.message))
        # The site's search asks for pages while the reader is already leaving: that is no failure.
        tab.on("requestfailed", lambda request: said.append(request.url) if "ABORTED" not in request.failure else None)
        tab.on("request", lambda request: None if request.url.startswith(origins) else said.append(request.url))
        tab.goto(address)
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert not said, said
