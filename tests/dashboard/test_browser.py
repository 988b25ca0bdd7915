"""The dashboard in a real browser: what it shows live, what can be done with it, and that nothing attacks (S-13, S-17)."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from upstreams import Chat, Http

from .browser import NARROW, WIDE, page_of
from .conftest import KEY
from .rows import XSS, hostile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Page

    from .browser import Scheme
    from .conftest import Served

pytestmark = pytest.mark.asyncio(loop_scope="session")

ONE = "req_000000000000000000000023"
PAGES = [
    "/dashboard",
    "/dashboard?range=7d",
    "/dashboard/requests",
    "/dashboard/requests?text=nothing-is-named-so&range=all",
    f"/dashboard/request/{ONE}",
    "/dashboard/request/req_000",
    "/dashboard/request/none",
    "/dashboard/sessions",
    "/dashboard/usage?by=model",
    "/dashboard/usage",
]
LOOKS: list[tuple[tuple[int, int], Scheme]] = [
    (size, scheme) for size in (WIDE, NARROW) for scheme in ("light", "dark")
]


def asked(model: str, words: str = "Hello", **headers: str) -> dict[str, Any]:
    """A request that streams."""
    body = {"model": model, "max_tokens": 50, "stream": True, "messages": [{"role": "user", "content": words}]}
    return {"data": json.dumps(body), "headers": {"content-type": "application/json", **headers}}


@asynccontextmanager
async def answering(url: str, model: str = "claude-opus-4-5", **headers: str) -> AsyncIterator[aiohttp.ClientResponse]:
    """A request whose answer has begun."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/messages", **asked(model, **headers)) as got,
    ):
        await got.content.readuntil(b"content_block_delta")
        yield got


async def ask(url: str, model: str = "claude-opus-4-5", words: str = "Hello", **headers: str) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/messages", **asked(model, words, **headers)) as got,
    ):
        await got.read()
        return got.status


def problems(found: Any) -> list[str]:
    """What axe takes for serious or worse."""
    return [
        f"{one['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for one in found.response["violations"]
        if one["impact"] in {"serious", "critical"}
        for node in one["nodes"]
    ]


async def wider(page: Page) -> int:
    """By how many pixels a page is wider than its window."""
    return int(await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


async def test_a_stream_appears_while_it_runs(open_server: Served) -> None:
    url, chat = open_server.proxy.url, open_server.chat
    async with page_of(open_server.browser, url) as (page, _):
        await page.goto("/dashboard")
        chat.use(by=chat.cut(Chat("A long answer " * 30), 20, ("silence",)))
        async with answering(url, **{"x-claude-code-session-id": "live-session-1"}):
            row = page.locator("#live tbody tr").first
            await expect(row.locator("[data-field=state]")).to_have_text("running")
            await expect(row.locator("[data-field=target]")).to_have_text("openai:gpt-4.1")
            await expect(row.locator("[data-field=asked]")).to_have_text("claude-opus-4-5")
            await expect(row.locator("[data-field=project]")).to_have_text("live-ses…")
            await expect(row.locator("[data-field=bytes]")).to_contain_text("KiB")
            await expect(page.locator("#running")).to_have_text("1 running")
            before = await row.locator("[data-field=time]").inner_text()
            await expect(row.locator("[data-field=time]")).not_to_have_text(before)
            ident = await row.get_attribute("data-id")
        await expect(page.locator(f"#live tr[data-id={ident}] [data-field=state]")).to_have_text("client left")
        await expect(page.locator("#running")).to_have_text("0 running")
        chat.use(Chat("Hello there"))
        assert await ask(url) == 200
        await expect(page.locator("#live tbody tr").first.locator("[data-field=tokens]")).to_have_text("100 → 34")
        await page.locator("#live tbody tr a").first.click()
        await expect(page.locator(".steps")).to_contain_text("openai:gpt-4.1")
        await expect(page.locator("h1")).to_contain_text("req_")


async def test_filters_and_pages(open_server: Served) -> None:
    async with page_of(open_server.browser, open_server.proxy.url) as (page, _):
        await page.goto("/dashboard/requests?range=30d")
        badges = page.locator("tbody .badge")
        await expect(badges).to_have_count(50)
        first = await page.locator("tbody a").first.get_attribute("href")
        await page.get_by_role("link", name="Older").click()
        await expect(page.get_by_role("link", name="Newest")).to_be_visible()
        assert await page.locator("tbody a").first.get_attribute("href") != first
        await page.get_by_label("State").select_option("client_closed")
        await page.get_by_role("button", name="Filter").click()
        await expect(badges.first).to_have_text("client left")
        assert set(await badges.all_inner_texts()) == {"client left"}
        assert "range=30d" in page.url
        await page.get_by_role("link", name="Clear").click()
        await page.get_by_label("Search").fill("notes-app")
        await page.get_by_label("Search").press("Enter")
        await expect(page).to_have_url(re.compile("text=notes-app"))
        assert set(await page.locator("tbody td:nth-child(4)").all_inner_texts()) == {"notes-app"}
        await page.locator("tbody a").first.click()
        await expect(page.locator(".fields").last).to_contain_text("/home/ada/src/notes-app")
        await page.get_by_role("link", name="/home/ada/src/notes-app").click()
        await expect(page.get_by_label("Project")).to_have_value("/home/ada/src/notes-app")


async def test_charts_are_drawn_in_both_schemes(open_server: Served) -> None:
    for scheme in ("light", "dark"):
        async with page_of(open_server.browser, open_server.proxy.url, scheme=scheme) as (page, _):
            await page.goto("/dashboard?range=7d")
            sizes = await page.evaluate(
                "Promise.all([...document.querySelectorAll('.chart img')].map((one) => { one.loading = 'eager';"
                " return one.decode().then(() => [one.naturalWidth, one.currentSrc]) }))"
            )
            assert len(sizes) == 6
            assert all(width > 0 and ("theme=dark" in source) == (scheme == "dark") for width, source in sizes)


async def test_a_chart_by_itself_keeps_its_style(open_server: Served) -> None:
    """Its policy allows its style by its hash, and it has nothing that the policy forbids."""
    async with page_of(open_server.browser, open_server.proxy.url) as (page, _):
        await page.goto("/dashboard/chart/requests.svg?range=30d")
        colour = await page.evaluate("getComputedStyle(document.querySelector('.bars rect')).fill")
        assert colour == "rgb(47, 111, 143)"


@pytest.mark.fault("S-17")
async def test_signing_in_and_out(locked_server: Served) -> None:
    url = locked_server.proxy.url
    async with page_of(locked_server.browser, url) as (page, complaints):
        complaints.expected = ("401",)
        await page.goto("/dashboard/requests")
        await expect(page).to_have_url(f"{url}/dashboard/sign-in")
        assert problems(await Axe().run(page)) == []
        await expect(page.get_by_label("Key")).to_be_focused()
        await page.keyboard.type("wrong")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_have_text("That is not this proxy's key.")
        assert problems(await Axe().run(page)) == []
        await page.get_by_label("Key").fill(KEY)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page).to_have_url(f"{url}/dashboard")
        (cookie,) = [one for one in await page.context.cookies(f"{url}/dashboard") if one["name"] == "ccp_session"]
        assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/dashboard")
        assert await page.context.cookies(f"{url}/v1/messages") == []
        kept = await page.evaluate("[document.cookie, localStorage.length, sessionStorage.length, history.length > 0]")
        assert kept == ["", 0, 0, True]
        assert KEY not in await page.content()
        await expect(page.locator("#link")).to_be_hidden()
        await page.get_by_role("link", name="Requests").click()
        await expect(page.locator("tbody .badge").first).to_be_visible()
        await page.get_by_role("button", name="Sign out").click()
        await expect(page).to_have_url(f"{url}/dashboard/sign-in")
        await page.goto("/dashboard/usage")
        await expect(page).to_have_url(f"{url}/dashboard/sign-in")
    assert not any(KEY in line for line in locked_server.proxy.log.lines)


FRAMED = """async (address) => {
    const frame = document.createElement("iframe");
    const loaded = new Promise((resolve) => { frame.onload = resolve; });
    frame.src = address;
    document.body.append(frame);
    await loaded;
    return frame.contentDocument ? frame.contentDocument.body.textContent : "";
}"""


@pytest.mark.fault("S-17")
async def test_it_cannot_be_framed(open_server: Served) -> None:
    """Not even by a page of the same origin."""
    async with page_of(open_server.browser, open_server.proxy.url) as (page, complaints):
        complaints.expected = ("frame", "404")
        await page.goto("/healthz")
        assert await page.evaluate(FRAMED, "/healthz") == '{"status":"ok"}'
        for path in ("/dashboard", "/dashboard/requests", "/dashboard/chart/cost.svg"):
            assert await page.evaluate(FRAMED, path) == "", path


@pytest.mark.fault("S-13")
async def test_what_attacks_stays_a_text(open_server: Served) -> None:
    """Names of models, clients, sessions, errors: in the ledger, and live from a client and an upstream."""
    url, chat = open_server.proxy.url, open_server.chat
    async with page_of(open_server.browser, url) as (page, _):
        await page.goto("/dashboard")
        for attack in XSS:
            fault = {"error": {"message": attack, "type": attack, "code": attack, "param": None}}
            plain = attack.encode("ascii", "replace").decode()
            chat.use(Http(500, fault))
            headers = {"user-agent": plain, "x-claude-code-session-id": plain, "x-claude-code-agent-id": plain}
            assert await ask(url, f"openai/{attack}", **headers) >= 400
            row = page.locator("#live tbody tr").first
            await expect(row.locator("[data-field=asked]")).to_have_text(f"openai/{attack}")
        chat.use(Chat("Hello there"))
        await page.get_by_role("link", name="Requests").click()
        assert await page.locator("tbody td:nth-child(3)", has_text="alert(1)").count() >= len(XSS)
        for place in ("/dashboard/sessions", "/dashboard/usage?by=session", "/dashboard/usage?by=model&range=all"):
            await page.goto(place)
            assert await page.get_by_text("alert(1)").count() > 0
        for one in hostile():
            await page.goto(f"/dashboard/requests?text={one.id[:7]}&range=1h")
            await page.locator("tbody a").first.click()
            await expect(page.locator("h1")).to_have_text(one.id)
            assert await page.locator("dd", has_text="alert").count() > 0 or "evil" in one.client or "7*7" in one.client
        assert (
            await page.evaluate("document.querySelectorAll('iframe, main script, main style, img[onerror]').length")
            == 0
        )


@pytest.mark.fault("S-13")
async def test_what_was_said_is_shown_block_by_block(open_server: Served) -> None:
    """A captured request, whose prompt and answer attack, and the X-ray of the turn after it."""
    url, chat = open_server.proxy.url, open_server.chat
    everything = "\n".join(XSS)
    chat.use(Chat(everything))
    session = {"x-claude-code-session-id": "said-session"}
    assert await ask(url, words=everything, **session) == 200
    assert await ask(url, words=f"{everything} again", **session) == 200
    chat.use(Chat("Hello there"))
    for size in (WIDE, NARROW):
        async with page_of(open_server.browser, url, size) as (page, _):
            await page.goto("/dashboard")
            await page.locator("#live tbody tr a").first.click()
            await expect(page.get_by_role("heading", name="What was said")).to_be_visible()
            titles = await page.locator(".sections h3").all_inner_texts()
            assert titles[0].startswith("Cache X-ray")
            assert {"The client's request", "Sent upstream", "The upstream's answer", "The answer"} <= set(titles)
            await page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
            said = await page.locator(".sections pre").all_inner_texts()
            assert sum(XSS[0] in text and XSS[-1] in text for text in said) >= 3
            assert problems(await Axe().run(page)) == []
            assert await wider(page) <= 0


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
@pytest.mark.parametrize("path", PAGES)
async def test_it_can_be_read_by_all(open_server: Served, path: str, size: tuple[int, int], scheme: Scheme) -> None:
    """axe finds nothing serious, and nothing is wider than the window."""
    async with page_of(open_server.browser, open_server.proxy.url, size, scheme) as (page, complaints):
        complaints.expected = ("404",)
        await page.goto(path)
        assert problems(await Axe().run(page)) == []
        assert await wider(page) <= 0


async def test_a_keyboard_is_enough(open_server: Served) -> None:
    async with page_of(open_server.browser, open_server.proxy.url) as (page, _):
        await page.goto("/dashboard")
        seen: list[str] = []
        for _ in range(6):
            await page.keyboard.press("Tab")
            told = await page.evaluate(
                "[document.activeElement.textContent.trim(), getComputedStyle(document.activeElement).outlineStyle,"
                " document.activeElement.getBoundingClientRect().left >= 0]"
            )
            assert told[1:] == ["solid", True], told
            seen.append(told[0])
        assert seen == ["Skip to the content", "Claude Code Proxy", "Overview", "Requests", "Sessions", "Usage"]
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(re.compile("/dashboard/usage"))
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        assert await page.evaluate("document.activeElement.id") == "main"
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "1h"


async def test_motion_is_reduced_where_that_is_wished(open_server: Served) -> None:
    url, chat = open_server.proxy.url, open_server.chat
    chat.use(by=chat.cut(Chat("A long answer " * 30), 20, ("silence",)))
    found = {}
    async with answering(url):
        for wish in ("reduce", "no-preference"):
            async with page_of(open_server.browser, url, reduced_motion=wish) as (page, _):
                await page.goto("/dashboard")
                await expect(page.locator("#live .runs")).to_be_visible()
                found[wish] = await page.evaluate("document.getAnimations().length")
    chat.use(Chat("Hello there"))
    assert found == {"reduce": 0, "no-preference": 1}


async def test_a_server_that_stops_ends_what_is_watched(open_server: Served, tmp_path: Any) -> None:
    """The stream of the dashboard keeps no server from stopping."""
    from e2e.proxy import serving  # noqa: PLC0415 -- beside the fixture

    async with serving(tmp_path, PROXY_LEDGER=str(tmp_path / "l.db"), OPENAI_API_KEY="canary-openai-key") as proxy:
        async with aiohttp.ClientSession() as session, session.get(f"{proxy.url}/dashboard/live") as got:
            assert (got.status, got.content_type) == (200, "text/event-stream")
            assert (await got.content.readuntil(b"\n\n")).startswith(b'data: {"running":0,')
            proxy.process.terminate()
            await asyncio.wait_for(got.read(), 10)
        assert await asyncio.wait_for(proxy.process.wait(), 10) == 0
