"""Google's tokens, checked as its token endpoint checks them, and Vertex AI."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Never
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from claude_code_proxy.credentials import Credentials
from claude_code_proxy.wire.failure import ApiError
from clouds import ASK, PLACE, Claude, nothing_of_this_machine, row, serving
from upstreams import Chat, FakeChat, FakeGemini, FakeMessages, Gemini, Http, Msg, Recorded, text
from upstreams.server import Fake

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path

    Ask = Callable[[], Awaitable[dict[str, str]]]


__all__ = ["nothing_of_this_machine"]

pytestmark = pytest.mark.usefixtures("nothing_of_this_machine")
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


class Tokens(Fake[Never]):
    """Google's token endpoint: a token for an assertion that the key of the service account has signed."""

    def __init__(self, lifetime: int = 3600) -> None:
        super().__init__()
        self.lifetime, self.issued = lifetime, 0
        self.fault: Http | None = None

    def front(self, rec: Recorded) -> Http:
        if self.fault:
            return self.fault
        form = parse_qs(rec.raw.decode())
        assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
        signed, _, signature = form["assertion"][0].rpartition(".")
        KEY.public_key().verify(decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        claims = json.loads(decoded(signed.split(".")[1]))
        assert (claims["aud"], claims["scope"]) == ("https://oauth2.googleapis.com/token", SCOPE)
        assert claims["iat"] <= time.time() < claims["exp"]
        self.issued += 1
        return Http(200, {"access_token": f"canary-token-{self.issued}", "expires_in": self.lifetime})

    def render(self, reply: Never, rec: Recorded) -> Never:
        raise NotImplementedError

    def file(self, folder: Path) -> str:
        """A service account's key that names this endpoint."""
        pem = KEY.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        account = {
            "type": "service_account",
            "project_id": "proj",
            "private_key_id": "1",
            "private_key": pem.decode(),
            "client_email": "me@proj.iam.gserviceaccount.com",
            "client_id": "1",
            "token_uri": self.url,
        }
        path = folder / "account.json"
        path.write_text(json.dumps(account), "utf-8")
        return str(path)


@pytest.mark.parametrize(
    ("pinned", "env", "asked"),
    [
        ("vertex:meta/llama-4", {}, "meta/llama-4"),
        ("gemini:meta/llama-4", {"USE_VERTEX_AUTH": "True", "GEMINI_API_KEY": "never"}, "meta/llama-4"),
        ("vertex:gemini-3-pro", {"VERTEX_DIALECT": "openai_chat"}, "google/gemini-3-pro"),
    ],
)
async def test_the_compatible_endpoint_of_vertex(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, pinned: str, env: dict[str, str], asked: str
) -> None:
    caplog.set_level(logging.DEBUG)
    base = "/v1/projects/proj/locations/us-central1/endpoints/openapi"
    async with Tokens() as tokens, FakeChat([Chat("Hello.")], base=base, extras=True) as vertex:
        env = env | PLACE | {"GOOGLE_APPLICATION_CREDENTIALS": tokens.file(tmp_path)}
        async with serving(pinned, env | {"VERTEX_API_BASE": f"{vertex.url}/v1"}, ASK) as got:
            assert (got.status, json.loads(got.body)["content"][0]["text"]) == (200, "Hello.")
    [sent] = vertex.requests
    assert (sent.path, sent.json["model"], sent.headers["authorization"]) == (
        f"{base}/chat/completions",
        asked,
        "Bearer canary-token-1",
    )
    assert "canary" not in caplog.text
    assert "never" not in f"{sent.headers}"


@pytest.mark.parametrize(
    ("pinned", "env"),
    [
        ("vertex:gemini-3-pro", {}),
        ("gemini:gemini-3-pro", {"USE_VERTEX_AUTH": "True", "GEMINI_API_KEY": "never"}),
    ],
)
async def test_gemini_on_vertex(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, pinned: str, env: dict[str, str]
) -> None:
    caplog.set_level(logging.DEBUG)
    base = "/v1/projects/proj/locations/us-central1/publishers/google"
    async with Tokens() as tokens, FakeGemini([Gemini("Hello.")], base=base, bearer=True) as vertex:
        env = env | PLACE | {"GOOGLE_APPLICATION_CREDENTIALS": tokens.file(tmp_path)}
        async with serving(pinned, env | {"VERTEX_API_BASE": f"{vertex.url}/v1"}, ASK) as got:
            assert got.status == 200, got.body
            blocks = json.loads(got.body)["content"]
            assert [block["text"] for block in blocks if block["type"] == "text"] == ["Hello."]
    [sent] = vertex.requests
    assert sent.path == f"{base}/models/gemini-3-pro:generateContent"
    assert sent.headers["authorization"] == "Bearer canary-token-1"
    assert "canary" not in caplog.text
    assert "never" not in f"{sent.headers}"


@pytest.mark.parametrize(
    ("model", "stream", "path"),
    [
        ("claude-sonnet-5-5", False, "claude-sonnet-5-5:rawPredict"),
        ("claude-haiku-4-5-20251001", True, "claude-haiku-4-5@20251001:streamRawPredict"),
        ("claude-opus-4-1@20250805", False, "claude-opus-4-1@20250805:rawPredict"),
        ("a/b?c#d", False, "a%2Fb%3Fc%23d:rawPredict"),
    ],
)
async def test_claude_on_vertex(tmp_path: Path, model: str, path: str, *, stream: bool) -> None:
    """The body without the model and with the version, the betas in their header, as the anthropic SDK does it."""

    def answer(rec: Recorded) -> Http | Any:
        rec.json["model"] = "claude"
        return FakeMessages().render(Msg([text("Hello.")]), rec)

    base = "/v1/projects/proj/locations/us-central1/publishers/anthropic"
    async with Tokens() as tokens, Claude() as vertex:
        vertex.use(by=answer)
        env = PLACE | {"GOOGLE_APPLICATION_CREDENTIALS": tokens.file(tmp_path)}
        env["VERTEX_ANTHROPIC_API_BASE"] = f"{vertex.url}/v1"
        headers = {"anthropic-beta": "x-2026", "anthropic-version": "2023-06-01", "x-api-key": "never"}
        body = {**ASK, "stream": stream, "n": 10**30, "safeguards": {"a": [1.0]}}
        async with serving(f"vertex-anthropic:{model}", env, body, headers=headers) as got:
            assert got.status == 200
            assert b"Hello." in got.body
    [sent] = vertex.requests
    expected = {key: value for key, value in body.items() if key != "model"}
    assert json.loads(sent.raw) == {**expected, "anthropic_version": "vertex-2023-10-16"}
    assert (sent.path, sent.query) == (f"{base}/models/{path}", "")
    assert sent.headers["authorization"] == "Bearer canary-token-1"
    assert sent.headers["anthropic-beta"] == "x-2026"
    assert not {"x-api-key", "anthropic-version"} & sent.headers.keys()


async def test_claude_on_vertex_is_counted_there(tmp_path: Path) -> None:
    """The model and the version stand in the body, as the anthropic SDK has it."""
    base = "/v1/projects/proj/locations/us-central1/publishers/anthropic"
    async with Tokens() as tokens, Claude() as vertex:
        vertex.use(by=lambda _: Http(200, {"input_tokens": 77}))
        env = PLACE | {"GOOGLE_APPLICATION_CREDENTIALS": tokens.file(tmp_path)}
        env["VERTEX_ANTHROPIC_API_BASE"] = f"{vertex.url}/v1"
        body = {**ASK, "stream": True, "metadata": {"user_id": "u"}, "system": "Be kind."}
        headers = {"anthropic-version": "2023-06-01", "x-api-key": "never"}
        async with serving(
            "vertex-anthropic:claude-haiku-4-5-20251001", env, body, counting=True, headers=headers
        ) as got:
            assert (got.status, json.loads(got.body)) == (200, {"input_tokens": 77})
    [sent] = vertex.requests
    assert (sent.path, sent.query) == (f"{base}/models/count-tokens:rawPredict", "")
    assert sent.json == {
        "model": "claude-haiku-4-5@20251001",
        "messages": ASK["messages"],
        "system": "Be kind.",
        "anthropic_version": "vertex-2023-10-16",
    }
    assert sent.headers["authorization"] == "Bearer canary-token-1"
    assert not {"x-api-key", "anthropic-version"} & sent.headers.keys()


async def test_gemini_on_vertex_counts_too(tmp_path: Path) -> None:
    base = "/v1/projects/proj/locations/us-central1/publishers/google"
    async with Tokens() as tokens, FakeGemini(base=base, bearer=True) as vertex:
        env = PLACE | {"GOOGLE_APPLICATION_CREDENTIALS": tokens.file(tmp_path), "VERTEX_API_BASE": f"{vertex.url}/v1"}
        async with serving("vertex:gemini-3-pro", env, ASK, counting=True) as got:
            assert got.status == 200
    [sent] = vertex.requests
    assert json.loads(got.body) == {"input_tokens": len(sent.raw) // 4}
    assert (sent.path, sent.refusal) == (f"{base}/models/gemini-3-pro:countTokens", None)


HOSTS: list[tuple[str, str]] = [
    ("us-central1", "https://us-central1-aiplatform.googleapis.com/v1"),
    ("global", "https://aiplatform.googleapis.com/v1"),
    ("eu", "https://aiplatform.eu.rep.googleapis.com/v1"),
    ("us", "https://aiplatform.us.rep.googleapis.com/v1"),
]


@pytest.mark.parametrize(("location", "base"), HOSTS)
@pytest.mark.parametrize("name", ["vertex", "vertex-anthropic"])
def test_where_vertex_is(name: str, location: str, base: str) -> None:
    made = row(name, VERTEX_PROJECT="example.com:p", VERTEX_LOCATION=location)
    assert made.root.startswith(f"{base}/projects/example.com:p/locations/{location}/")


def test_vertex_without_its_place_is_not_set_up() -> None:
    with pytest.raises(ApiError, match="set VERTEX_LOCATION or GOOGLE_CLOUD_LOCATION and VERTEX_PROJECT"):
        row("vertex").credentials()
    assert not row("vertex").ready
    assert not row("vertex", VERTEX_API_BASE="http://h", VERTEX_LOCATION="l").ready


@asynccontextmanager
async def google(tmp_path: Path, lifetime: int = 3600) -> AsyncGenerator[tuple[Tokens, Credentials, Ask]]:
    async with Tokens(lifetime) as tokens:
        made = row("vertex", **PLACE, GOOGLE_APPLICATION_CREDENTIALS=tokens.file(tmp_path))
        credentials = Credentials()
        yield tokens, credentials, lambda: credentials.headers(made, "POST", made.root, b"{}")


async def test_requests_at_once_fetch_one_token(tmp_path: Path) -> None:
    async with google(tmp_path) as (tokens, _, headers):
        told = await asyncio.gather(*(headers() for _ in range(20)))
        assert told == [{"authorization": "Bearer canary-token-1"}] * 20
        assert await headers() == told[0]
        assert tokens.issued == 1


async def test_a_token_is_renewed_before_it_expires_while_the_old_one_serves(tmp_path: Path) -> None:
    async with google(tmp_path, lifetime=200) as (tokens, credentials, headers):  # less than what is left for renewing
        assert await headers() == {"authorization": "Bearer canary-token-1"}
        tokens.lifetime = 3600
        assert await headers() == {"authorization": "Bearer canary-token-1"}
        await asyncio.gather(*credentials._google._renewing.values())
        assert await headers() == {"authorization": "Bearer canary-token-2"}
        assert tokens.issued == 2


async def test_an_old_token_serves_when_it_cannot_be_renewed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with google(tmp_path, lifetime=200) as (tokens, credentials, headers):
        await headers()
        tokens.fault = Http(400, {"error": "invalid_grant", "error_description": "canary"})
        assert await headers() == {"authorization": "Bearer canary-token-1"}
        await asyncio.gather(*credentials._google._renewing.values(), return_exceptions=True)
        await asyncio.sleep(0)
        assert "not renewed" in caplog.text
    assert "canary" not in caplog.text


REFUSED: list[tuple[int, Any, int, str]] = [
    (400, {"error": "invalid_grant", "error_description": "canary"}, 401, "gcloud auth application-default login"),
    (401, {"error": "unauthorized_client"}, 401, "gcloud auth application-default login"),
]


@pytest.mark.parametrize(("status", "body", "told", "word"), REFUSED)
async def test_a_token_that_is_refused(tmp_path: Path, status: int, body: Any, told: int, word: str) -> None:
    async with google(tmp_path) as (tokens, _, headers):
        tokens.fault = Http(status, body)
        with pytest.raises(ApiError, match=word) as raised:
            await headers()
        assert raised.value.failed.status == told
        assert "canary" not in str(raised.value)
        tokens.fault = None
        assert await headers() == {"authorization": "Bearer canary-token-1"}


async def test_a_token_endpoint_that_is_away(tmp_path: Path) -> None:
    async with Tokens() as tokens:
        file = tokens.file(tmp_path)
        gone = file.replace("account", "gone")
        (tmp_path / "gone.json").write_text(
            (tmp_path / "account.json").read_text("utf-8").replace(tokens.url, "http://127.0.0.1:9"), "utf-8"
        )
    made = row("vertex", **PLACE, GOOGLE_APPLICATION_CREDENTIALS=gone)
    with pytest.raises(ApiError, match="cannot be reached") as raised:
        await Credentials().headers(made, "POST", made.root, b"")
    assert raised.value.failed.status == 502


@pytest.mark.parametrize("file", [None, "no-such-file.json"])
async def test_nobody_is_logged_in(tmp_path: Path, file: str | None) -> None:
    env = {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / file)} if file else {}
    async with serving("vertex:gemini-3-pro", PLACE | env, ASK) as got:
        assert (got.status, got.headers["x-should-retry"]) == (401, "false")
        assert b"gcloud auth application-default login" in got.body
