"""A real browser, Chromium, driven by playwright; tests that need one are skipped where the machine has none."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@dataclass
class Tab:
    """An open page; what it asked for beside itself, and what it complained of."""

    page: Any
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, file: Path, state: str = "") -> None:
        """Opens a page of ours from the disk and waits until all of it is drawn. ``state`` goes behind the #."""
        self.page.goto("about:blank")
        self.requests.clear()
        self.page.goto(file.resolve().as_uri() + (f"#{state}" if state else ""))
        self.ready()

    def ready(self) -> None:
        self.until("document.documentElement.dataset.ready === 'yes'")

    def until(self, expression: str) -> None:
        """Waits until a JavaScript expression is true. Playwright's own way evaluates a string in the page, which the
        page's security policy forbids."""
        for _ in range(200):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"never came true: {expression}; the page complains of {self.complaints}")

    def text(self, selector: str = "body") -> str:
        return self.page.inner_text(selector)


def path() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; one at a time in a process, as playwright wants it."""
    playwright = pytest.importorskip("playwright.sync_api")
    if (program := path()) is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def tab_of(browser: Any, **settings: Any) -> Iterator[Tab]:
    """A tab with these settings of playwright's (viewport, color_scheme, java_script_enabled)."""
    context = browser.new_context(**{"viewport": {"width": 1400, "height": 1000}, **settings})
    context.set_default_timeout(120_000)  # milliseconds: engines of other tests may have the cores
    tab = Tab(context.new_page())
    tab.page.on("request", lambda request: tab.requests.append(request.url))
    tab.page.on("console", lambda message: tab.complaints.append(message.text))
    tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
    try:
        yield tab
    finally:
        context.close()
