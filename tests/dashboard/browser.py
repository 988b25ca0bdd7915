"""Debian's Chromium, driven by Playwright, and all that it complains of."""

from __future__ import annotations

import shutil
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import pytest
from playwright.async_api import async_playwright

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, ConsoleMessage, Dialog, Page, Request

Scheme = Literal["dark", "light"]

WIDE = (1280, 900)
NARROW = (360, 740)


def chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("no Chromium is here; .ci/run installs Debian's")


@dataclass
class Complaints:
    """What a page must have none of: dialogs, errors, words on the console, requests to others."""

    home: str
    said: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()

    def watch(self, page: Page) -> None:
        page.on("dialog", self._dialog)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        page.on("request", self._request)

    async def _dialog(self, dialog: Dialog) -> None:
        self.said.append(f"dialog: {dialog.message}")
        await dialog.dismiss()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not any(part in message.text for part in self.expected):
            self.said.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.home, "data:", "chrome-error:")):
            self.said.append(f"request: {request.url}")


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    """A browser without a window."""
    options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-proxy-server"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=options)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def page_of(
    browser: Browser, home: str, size: tuple[int, int] = WIDE, scheme: Scheme = "light", **more: Any
) -> AsyncIterator[tuple[Page, Complaints]]:
    """A page of a window of its own; at its end there must have been no complaint."""
    context = await browser.new_context(
        base_url=home, viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, **more
    )
    context.set_default_timeout(20_000)
    complaints = Complaints(home)
    try:
        page = await context.new_page()
        complaints.watch(page)
        yield page, complaints
    finally:
        await context.close()
    assert complaints.said == [], complaints.said
