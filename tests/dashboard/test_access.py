"""Who may see the dashboard, and that no page of others can frame, read or drive it (S-17)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from claude_code_proxy.dashboard.sessions import FAILURES, LASTS, Sessions, Throttle, cookie
from claude_code_proxy.dashboard.sessions import cookies as read_cookies

from .conftest import KEY, cookies
from .markup import checked

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgi import Exchange

    from .conftest import Here

pytestmark = pytest.mark.fault("S-17")

PAGES = [
    "/dashboard",
    "/dashboard/",
    "/dashboard/requests",
    "/dashboard/requests?text=<script>&state=ok&before=1.5_x&range=all",
    "/dashboard/requests?before=nan_x",
    "/dashboard/request/req_000000000000000000000001",
    "/dashboard/sessions",
    "/dashboard/usage?by=model",
    "/dashboard/usage?by=nothing&range=nothing",
    "/dashboard/usage.csv",
    "/dashboard/requests.csv",
    *(f"/dashboard/chart/{name}.svg" for name in ("requests", "latency", "first", "tokens", "cached", "cost")),
]
REFUSED = [
    ("/dashboard/nothing", "GET", 404),
    ("/dashboard/request/none", "GET", 404),
    ("/dashboard/chart/none.svg", "GET", 404),
    ("/dashboard/assets/none.css", "GET", 404),
    ("/dashboard", "POST", 405),
    ("/dashboard", "DELETE", 405),
    ("/dashboard/requests", "PUT", 405),
    ("/dashboard/sign-out", "GET", 405),
]
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)


def is_guarded(answer: Exchange) -> None:
    """It has every header that keeps others out."""
    headers = answer.headers
    if headers["content-type"] == "image/svg+xml" and answer.scope["path"].startswith("/dashboard/chart/"):
        assert re.fullmatch(
            r"default-src 'none'; style-src 'sha256-[\w+/=]{44}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
            headers["content-security-policy"],
        )
    else:
        assert headers["content-security-policy"] == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    has_form = b'method="post"' in answer.body  # a browser tells the Origin of a form only so
    assert headers["referrer-policy"] == ("same-origin" if has_form else "no-referrer")
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == ("no-cache" if "etag" in headers else "no-store")
    assert not any(name.startswith("access-control-") for name in headers)


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_is_guarded(here: Callable[..., Here], path: str) -> None:
    answer = await here().ask(path)
    assert answer.status == 200, answer.body
    is_guarded(answer)
    if answer.headers["content-type"].startswith("text/html"):
        checked(answer.body)


@pytest.mark.parametrize(("path", "method", "status"), REFUSED)
async def test_what_is_not_there_is_guarded_too(here: Callable[..., Here], path: str, method: str, status: int) -> None:
    answer = await here().ask(path, method=method)
    assert answer.status == status
    is_guarded(answer)


@pytest.mark.parametrize("name", ["style.css", "script.js", "mark.svg"])
async def test_a_file_is_sent_once(here: Callable[..., Here], name: str) -> None:
    place = here(PROXY_API_KEY=KEY)
    first = await place.ask(f"/dashboard/assets/{name}")
    again = await place.ask(f"/dashboard/assets/{name}", if_none_match=first.headers["etag"])
    assert (first.status, again.status, again.body) == (200, 304, b"")
    is_guarded(first)
    is_guarded(again)


@pytest.mark.fault("S-18")
@pytest.mark.parametrize(
    "path",
    [
        "/dashboard/assets/../templates/base.html",
        "/dashboard/assets/..%2f..%2f..%2fetc/passwd",
        "/dashboard/assets//etc/passwd",
        "/dashboard/assets/style.css/../script.js",
        "/dashboard/../../etc/passwd",
        "/dashboard/assets/style.css\x00.js",
        "/dashboard/chart/../../x.svg",
        "/dashboard/templates/base.html",
    ],
)
async def test_no_path_leads_to_a_file(here: Callable[..., Here], path: str) -> None:
    answer = await here().ask(path)
    assert answer.status == 404
    assert b"root:" not in answer.body
    assert b"{%" not in answer.body


@pytest.mark.parametrize(
    ("env", "server", "status"),
    [
        ({}, "127.0.0.1", 200),
        ({}, "::1", 200),
        ({}, "192.168.1.7", 403),
        ({"PROXY_OPEN": "1"}, "192.168.1.7", 403),
        ({"PROXY_OPEN": "1"}, "127.0.0.1", 200),
        ({"PROXY_PUBLISHED_ON": "127.0.0.1"}, "172.17.0.2", 200),
        ({"PROXY_PUBLISHED_ON": "0.0.0.0"}, "127.0.0.1", 403),
        ({"PROXY_API_KEY": KEY}, "192.168.1.7", 303),
        ({"PROXY_API_KEY": KEY}, "127.0.0.1", 303),
        ({"PROXY_API_KEY": KEY, "PROXY_OPEN": "1"}, "127.0.0.1", 303),
    ],
)
async def test_without_a_key_only_this_machine_sees_it(
    here: Callable[..., Here], env: dict[str, str], server: str, status: int
) -> None:
    answer = await here(**env).ask("/dashboard", server=server, accept="text/html")
    assert answer.status == status
    if status == 303:
        assert answer.headers["location"] == "/dashboard/sign-in"
        assert answer.body == b""


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec_fetch_site": "none"}, 200),
        ({"sec_fetch_site": "same-origin", "origin": "http://localhost"}, 200),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"origin": "http://evil.test"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "evil.test"}, 403),
    ],
)
async def test_pages_of_others_stay_out(here: Callable[..., Here], headers: dict[str, str], status: int) -> None:
    place = here()
    for path in ("/dashboard", "/dashboard/requests.csv"):
        assert (await place.ask(path, headers)).status == status


BEARERS: list[tuple[dict[str, str], str, int]] = [
    ({}, "/dashboard/usage.csv", 401),
    ({"authorization": f"Bearer {KEY}"}, "/dashboard/usage.csv", 200),
    ({"authorization": f"Bearer {KEY}"}, "/dashboard", 200),
    ({"authorization": f"Bearer {KEY[:-1]}"}, "/dashboard/usage.csv", 401),
    ({"authorization": f"Basic {KEY}"}, "/dashboard/usage.csv", 401),
    ({"cookie": f"ccp_session={KEY}"}, "/dashboard/usage.csv", 401),
    ({"cookie": "ccp_session=" + "a" * 43 + ".99999999999." + "0" * 64}, "/dashboard/live", 401),
    ({}, f"/dashboard/usage.csv?key={KEY}", 401),
    ({"authorization": f"Bearer {KEY}"}, "/dashboard/sign-out", 405),
]


@pytest.mark.parametrize(("headers", "path", "status"), BEARERS)
async def test_with_a_key_nobody_else_sees_it(
    here: Callable[..., Here], headers: dict[str, str], path: str, status: int
) -> None:
    answer = await here(PROXY_API_KEY=KEY).ask(path, headers)
    assert answer.status == status
    assert KEY.encode() not in answer.body
    is_guarded(answer)


async def form_of(place: Here) -> tuple[str, str]:
    """The token of the page to sign in, and the cookie it belongs to."""
    page = await place.ask("/dashboard/sign-in")
    assert page.status == 200
    checked(page.body)
    found = re.search(rb'name="token" value="([0-9a-f]+)"', page.body)
    assert found
    return found[1].decode(), "ccp_form=" + cookies(page)["ccp_form"].partition(";")[0]


async def signed_in(place: Here, **headers: str) -> Exchange:
    token, form = await form_of(place)
    sent = {"token": token, "key": KEY}
    return await place.ask("/dashboard/sign-in", headers, method="POST", form=sent, cookie=form)


async def test_signing_in_and_out(here: Callable[..., Here]) -> None:
    place = here(PROXY_API_KEY=KEY)
    answer = await signed_in(place)
    assert (answer.status, answer.headers["location"]) == (303, "/dashboard")
    value, *flags = cookies(answer)["ccp_session"].split("; ")
    assert set(flags) == {"Path=/dashboard", f"Max-Age={LASTS}", "HttpOnly", "SameSite=Strict"}
    assert KEY not in value
    session = f"ccp_session={value}"
    page = await place.ask("/dashboard", cookie=session)
    assert page.status == 200
    token = re.search(rb'name="token" value="([0-9a-f]+)"', page.body)
    assert token
    refused = await place.ask("/dashboard/sign-out", method="POST", form={"token": "0" * 64}, cookie=session)
    assert refused.status == 403
    assert (await place.ask("/dashboard", cookie=session)).status == 200
    out = await place.ask("/dashboard/sign-out", method="POST", form={"token": token[1].decode()}, cookie=session)
    assert (out.status, out.headers["location"]) == (303, "/dashboard/sign-in")
    assert "Max-Age=0" in cookies(out)["ccp_session"]
    assert (await place.ask("/dashboard/usage.csv", cookie=session)).status == 401  # the old cookie is worth nothing


@pytest.mark.parametrize(
    "change",
    [{"token": ""}, {"token": "0" * 64}, {"cookie": ""}, {"cookie": "ccp_form=other"}, {"key": "wrong"}, {"key": ""}],
    ids=str,
)
async def test_a_form_that_is_not_ours_signs_nobody_in(here: Callable[..., Here], change: dict[str, str]) -> None:
    place = here(PROXY_API_KEY=KEY)
    token, form = await form_of(place)
    sent = {"token": token, "key": KEY, "cookie": form} | change
    cookie_header = sent.pop("cookie")
    answer = await place.ask("/dashboard/sign-in", method="POST", form=sent, cookie=cookie_header)
    assert answer.status == (401 if "key" in change else 403)
    assert "ccp_session" not in cookies(answer)
    is_guarded(answer)


@pytest.mark.parametrize(
    "body", [{"a": "1"} | {f"n{i}": "x" for i in range(20)}, {"key": "x" * 9000}], ids=["many", "large"]
)
async def test_a_form_may_not_be_anything(here: Callable[..., Here], body: dict[str, str]) -> None:
    answer = await here(PROXY_API_KEY=KEY).ask("/dashboard/sign-in", method="POST", form=body)
    assert answer.status in {403, 413}


@pytest.mark.parametrize("how", [{"origin": "https://localhost"}, {}])
async def test_over_tls_the_cookie_is_for_tls(here: Callable[..., Here], how: dict[str, str]) -> None:
    answer = await signed_in(here(PROXY_API_KEY=KEY), **how)
    assert ("Secure" in cookies(answer)["ccp_session"].split("; ")) == bool(how)


@pytest.mark.fault("S-16")
async def test_guessing_is_slowed_down(here: Callable[..., Here]) -> None:
    place = here(PROXY_API_KEY=KEY)
    for number in range(FAILURES):
        token, form = await form_of(place)
        wrong = {"token": token, "key": f"guess-{number}"}
        assert (await place.ask("/dashboard/sign-in", method="POST", form=wrong, cookie=form)).status == 401
    answer = await signed_in(place)  # the right one, too late
    assert answer.status == 429
    assert 0 < int(answer.headers["retry-after"]) <= 61
    assert "ccp_session" not in cookies(answer)
    assert (await place.ask("/dashboard", authorization=f"Bearer {KEY}")).status == 429
    assert (await place.ask("/dashboard", authorization=f"Bearer {KEY}", peer="10.0.0.9")).status == 200


def test_a_throttle_forgets() -> None:
    now = 0.0
    throttle = Throttle(lambda: now)
    for _ in range(FAILURES):
        assert throttle.wait("a") == 0
        throttle.failed("a")
    assert (throttle.wait("a"), throttle.wait("b")) == (61, 0)
    now = 60.0
    assert throttle.wait("a") == 0


def test_a_session_ends_with_its_time_and_its_key() -> None:
    now = 1000.0
    first, other = Sessions(lambda: now), Sessions(lambda: now)
    value = first.begin("key")
    session = first.find(value, "key")
    assert session
    assert other.find(value, "key") == session  # another worker
    assert first.find(value, "another") is None
    ident, end, mark = value.split(".")
    assert first.find(f"{ident}.{int(end) + 1}.{mark}", "key") is None
    assert first.find(f"{ident}x.{end}.{mark}", "key") is None
    now += LASTS
    assert first.find(value, "key") is None


@pytest.mark.parametrize("header", ["", "a", "ccp_session", "\x00=\x01", "a=b; ccp_session=x; =;;;", 'a="\\777"'])
def test_any_cookie_can_be_read(header: str) -> None:
    found: dict[str, Any] = read_cookies(header)
    assert isinstance(found, dict)


def test_a_cookie_is_for_the_dashboard_alone() -> None:
    assert cookie("n", "v", 5, secure=True) == (
        b"set-cookie",
        b"n=v; Path=/dashboard; Max-Age=5; HttpOnly; SameSite=Strict; Secure",
    )
