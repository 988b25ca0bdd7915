"""Take the pictures of docs/dashboard.md from a real run: `python scripts/dashboard_pictures.py [FOLDER]`.

With a folder, every page in light and dark, at 1280 and 360 pixels, goes there instead.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
sys.path.insert(0, str(ROOT / "tests"))

import aiohttp  # noqa: E402

from dashboard.browser import NARROW, WIDE, Scheme, browsing, page_of  # noqa: E402
from dashboard.rows import keep, some  # noqa: E402
from e2e.proxy import serving  # noqa: E402
from upstreams import Chat, FakeChat  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from playwright.async_api import Browser

ONE = "req_000000000000000000000023"
PAGES = {
    "overview": "/dashboard",
    "requests": "/dashboard/requests",
    "request": f"/dashboard/request/{ONE}",
    "sessions": "/dashboard/sessions",
    "usage": "/dashboard/usage?by=model",
    "days": "/dashboard/usage",
    "missing": "/dashboard/request/none",
    "said": "",
}
TALL = (1280, 1240)
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
SESSION = "5e55104e-0000-4000-8000-000000000001"
PRICE = '[prices]\n"openai:gpt-4.1" = { input = 2, output = 8, cache_read = 0.5 }\n'
SYSTEM = "You are Claude Code. Primary working directory: /home/ada/src/engine"
BODY = {"system": SYSTEM, "model": "claude-sonnet-4-5", "max_tokens": 100, "stream": True}


async def ask(url: str, *words: str) -> AsyncGenerator[bytes]:
    roles = ("user", "assistant")
    said = [{"role": roles[number % 2], "content": text} for number, text in enumerate(words)]
    headers = {"x-claude-code-session-id": SESSION, "content-type": "application/json"}
    body = {**BODY, "messages": said}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/messages", data=json.dumps(body), headers=headers) as got,
    ):
        async for part in got.content.iter_any():
            yield part


async def whole(url: str, *words: str) -> None:
    async for _ in ask(url, *words):
        pass


async def latest(url: str) -> str:
    """The id of the request that has ended last."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/dashboard/live") as got:
        told = await got.content.readuntil(b"\n\n")
    return str(json.loads(told.removeprefix(b"data: "))["rows"][0]["id"])


async def begun(url: str) -> AsyncGenerator[bytes]:
    """An answer that has begun, and goes on until this is closed."""
    parts = ask(url, "Tell me more")
    async for part in parts:
        if b"content_block_delta" in part:
            break
    return parts


class View(NamedTuple):
    """A page, and how it is looked at."""

    page: str
    size: tuple[int, int]
    scheme: Scheme


async def shot(browser: Browser, url: str, view: View, to: Path) -> None:
    name, size, scheme = view
    async with page_of(browser, url, size, scheme, device_scale_factor=1) as (page, complaints):
        complaints.expected = ("404",)
        await page.goto(PAGES[name], wait_until="load")
        await page.evaluate(
            "Promise.all([...document.images].map((one) => { one.loading = 'eager'; return one.decode() }))"
        )
        wider = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if wider > 0:
            print(f"{name} at {size[0]} is {wider} px too wide")
        await page.screenshot(path=to, full_page=view in VIEWS.values())


SHOWN = {"dashboard": View("overview", TALL, "light"), "dashboard-request": View("said", TALL, "dark")}
VIEWS = {
    f"{page}-{size[0]}-{scheme}": View(page, size, scheme)
    for page in PAGES
    for size in (WIDE, NARROW)
    for scheme in SCHEMES
}


async def main(to: Path = PICTURES, *, folder: bool = False) -> None:
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ledger = home / "ledger.db"
        keep(ledger, some(4000))
        chat = await stack.enter_async_context(FakeChat())
        config = home / "config.toml"
        config.write_text(PRICE)
        env = {
            "CLAUDE_CODE_PROXY_CONFIG": str(config),
            "OPENAI_BASE_URL": chat.api,
            "OPENAI_API_KEY": "sk-none",
            "PROXY_LEDGER": str(ledger),
            "PROXY_CAPTURE": "true",
        }
        proxy = await stack.enter_async_context(serving(home, **env))
        chat.use(Chat("The tests fail because the clock is read twice: once for the name, once for the row."))
        await whole(proxy.url, "It is 14:05. Why do the tests fail at midnight?")
        chat.use(Chat("I read it once and pass it on. All 212 tests pass."))
        await whole(proxy.url, "It is 14:06. Why do the tests fail at midnight?", "The clock.", "Please mend it.")
        PAGES["said"] = f"/dashboard/request/{await latest(proxy.url)}"
        chat.use(by=chat.cut(Chat("A long answer " * 40), 30, ("silence",)))
        running = await begun(proxy.url)
        browser = await stack.enter_async_context(browsing())
        for file, view in VIEWS.items() if folder else SHOWN.items():
            await shot(browser, proxy.url, view, to / f"{file}.png")
        await running.aclose()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
        asyncio.run(main(Path(sys.argv[1]), folder=True))
    else:
        asyncio.run(main())
