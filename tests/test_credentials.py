"""Tokens of Google's and signatures of AWS's, checked as the real services check them."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Never
from urllib.parse import parse_qs

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as AwsKey
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from asgi import Exchange
from claude_code_proxy.credentials import Credentials
from claude_code_proxy.dialects.event_stream import MEDIA_TYPE
from claude_code_proxy.http.messages import Messages
from claude_code_proxy.providers import load_providers
from claude_code_proxy.settings import load_settings
from claude_code_proxy.upstream import Pool
from claude_code_proxy.wire.failure import ApiError
from frames import CHUNK, frame
from upstreams import Chat, FakeChat, FakeMessages, Http, Msg, Raw, Recorded, text
from upstreams.server import Fake

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
    from pathlib import Path

    from claude_code_proxy.providers import Provider

    Ask = Callable[[], Awaitable[dict[str, str]]]

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
ASK: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
ACCESS, SECRET, SESSION = "AKIACANARY", "canary/aws+secret", "canary-session-token"
AWS = {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET}


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


class Claude(FakeMessages):
    """Claude where it is not at Anthropic's own path."""

    def front(self, rec: Recorded) -> Http | None:
        return None if rec.path.endswith(("awPredict", "/invoke", "/invoke-with-response-stream")) else Http(404)


def row(name: str, **env: str) -> Provider:
    return load_providers(env)[name]


@asynccontextmanager
async def serving(
    pinned: str, env: Mapping[str, str], asked: Mapping[str, Any], **headers: str
) -> AsyncGenerator[Exchange]:
    """The server's answer to one message."""
    settings = load_settings({"CLAUDE_CODE_PROXY_ENV_FILE": "", **env})
    pool = Pool(settings)
    exchange = Exchange(
        json.dumps(asked).encode(), headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    try:
        await Messages(settings, pool)(exchange.scope, exchange.receive, exchange.send, pinned)
        yield exchange
    finally:
        await pool.close()


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "CLOUDSDK_CONFIG": str(tmp_path / "none"),
        "NO_GCE_CHECK": "true",
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "AWS_PROFILE", *AWS):
        monkeypatch.delenv(name, raising=False)


# Google


PLACE = {"VERTEX_PROJECT": "proj", "VERTEX_LOCATION": "us-central1"}


@pytest.mark.parametrize(
    ("pinned", "env", "asked"),
    [
        ("vertex:gemini-3-pro", {}, "google/gemini-3-pro"),
        ("vertex:meta/llama-4", {}, "meta/llama-4"),
        ("gemini:gemini-3-pro", {"USE_VERTEX_AUTH": "True", "GEMINI_API_KEY": "never"}, "google/gemini-3-pro"),
    ],
)
async def test_gemini_on_vertex(
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
        async with serving(f"vertex-anthropic:{model}", env, body, **headers) as got:
            assert got.status == 200
            assert b"Hello." in got.body
    [sent] = vertex.requests
    expected = {key: value for key, value in body.items() if key != "model"}
    assert json.loads(sent.raw) == {**expected, "anthropic_version": "vertex-2023-10-16"}
    assert (sent.path, sent.query) == (f"{base}/models/{path}", "")
    assert sent.headers["authorization"] == "Bearer canary-token-1"
    assert sent.headers["anthropic-beta"] == "x-2026"
    assert not {"x-api-key", "anthropic-version"} & sent.headers.keys()


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


LIBRARIES: list[tuple[str, str, dict[str, str], str]] = [
    ("google.auth", "vertex:gemini-3-pro", PLACE, "claude-code-proxy[vertex]"),
    ("botocore.auth", "bedrock:m", {"AWS_REGION": "eu-west-1"}, "claude-code-proxy[bedrock]"),
]


@pytest.mark.parametrize(("library", "pinned", "env", "word"), LIBRARIES)
async def test_a_library_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, library: str, pinned: str, env: dict[str, str], word: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    async with serving(pinned, env, ASK) as got:
        assert (got.status, got.headers["x-should-retry"]) == (401, "false")
        assert word in got.body.decode()


def test_the_libraries_are_not_loaded_before_they_are_used() -> None:
    code = "import claude_code_proxy.app, sys; sys.exit(any(n in sys.modules for n in ('google.auth', 'botocore')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# AWS


NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


def verified(rec: Recorded, host: str, *, token: str = "", service: str = "bedrock-mantle") -> None:
    """The signature is the one that AWS's own signer gives to what arrived."""
    said = dict(part.split("=", 1) for part in rec.headers["authorization"].partition(" ")[2].split(", "))
    names = said["SignedHeaders"].split(";")
    assert {"content-type", "host", "x-amz-date", *(["x-amz-security-token"] if token else [])} <= set(names)
    kept = {name: rec.headers[name] for name in names if name not in {"host", "x-amz-date", "x-amz-security-token"}}
    query = f"?{rec.query}" if rec.query else ""
    again = AWSRequest(rec.method, f"http://{host}{rec.path}{query}", headers=kept, data=rec.raw)
    key = AwsKey(ACCESS, SECRET, token or None)
    botocore.auth.SigV4Auth(key, service, "eu-west-1").add_auth(again)
    assert rec.headers["authorization"] == again.headers["Authorization"]
    assert rec.headers["x-amz-date"] == NOW.strftime("%Y%m%dT%H%M%SZ")
    assert rec.headers.get("x-amz-security-token", "") == token


@pytest.mark.parametrize("token", ["", SESSION])
@pytest.mark.parametrize("stream", [False, True])
async def test_claude_on_bedrock(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, token: str, *, stream: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: NOW.replace(tzinfo=None))
    env = AWS | ({"AWS_SESSION_TOKEN": token} if token else {})
    headers = {"x_api_key": "never", "anthropic_beta": "effort-2025-11-24"}
    async with FakeMessages([Msg([text("Héllo.")])]) as mantle:
        env["BEDROCK_API_BASE"] = mantle.url
        async with serving("bedrock:claude-sonnet-5-5", env, ASK | {"stream": stream}, **headers) as got:
            assert got.status == 200, got.body
    [sent] = mantle.requests
    verified(sent, mantle.url.removeprefix("http://"), token=token)
    assert sent.json["model"] == "anthropic.claude-sonnet-5-5"
    assert sent.headers["anthropic-beta"] == "effort-2025-11-24"
    assert mantle.refusals == []
    for hidden in (SECRET, SESSION, "never"):
        assert hidden not in caplog.text
    assert SECRET not in f"{sent.headers}"


async def test_a_signature_covers_the_query(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: NOW.replace(tzinfo=None))
    made = row("bedrock", **AWS)
    assert made.base_url == "https://bedrock-mantle.eu-west-1.api.aws/anthropic"
    of = Credentials()
    told = [await of.headers(made, "POST", f"{made.root}/v1/messages{query}", b"{}") for query in ("", "?beta=true")]
    assert told[0]["authorization"] != told[1]["authorization"]


@pytest.mark.parametrize("stream", [False, True])
async def test_claude_on_bedrock_s_older_host(monkeypatch: pytest.MonkeyPatch, *, stream: bool) -> None:
    """The model in the path, version and betas in the body, the answer in Amazon's frames."""
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: NOW.replace(tzinfo=None))

    def answer(rec: Recorded) -> Http | Raw:
        made = FakeMessages().render(Msg([text("Hello.")]), replace(rec, json={"model": "claude", "stream": stream}))
        if isinstance(made, Http):
            return made
        events = [op[1].split(b"data: ")[1] for op in made.ops if op[0] == "raw"]
        inside = [json.dumps({"bytes": base64.b64encode(event.strip()).decode()}).encode() for event in events]
        return Raw([("raw", frame(CHUNK, one)) for one in inside], headers={"content-type": MEDIA_TYPE})

    model, manner = "us.anthropic.claude-x-20250929-v1:0", "invoke-with-response-stream" if stream else "invoke"
    async with Claude() as runtime:
        runtime.use(by=answer)
        body = {**ASK, "stream": stream}
        env = AWS | {"BEDROCK_RUNTIME_API_BASE": runtime.url}
        async with serving(f"bedrock-runtime:{model}", env, body, anthropic_beta="a-1, b-2") as got:
            assert got.status == 200, got.body
            assert b"Hello." in got.body
            assert got.body.endswith(b'{"type":"message_stop"}\n\n') is stream
    [sent] = runtime.requests
    assert sent.path == f"/model/{model}/{manner}"
    verified(sent, runtime.url.removeprefix("http://"), service="bedrock")
    kept = {key: value for key, value in ASK.items() if key != "model"}
    assert sent.json == {**kept, "anthropic_version": "bedrock-2023-05-31", "anthropic_beta": ["a-1", "b-2"]}
    assert not {"anthropic-beta", "anthropic-version"} & sent.headers.keys()


@pytest.mark.parametrize("model", ["..", "."])
async def test_a_name_that_no_path_can_hold(model: str) -> None:
    async with serving(f"bedrock-runtime:{model}", AWS, ASK) as got:
        assert (got.status, b"is no name" in got.body) == (400, True)


async def test_a_token_for_bedrock_goes_before_a_signature() -> None:
    made = row("bedrock", **AWS, AWS_BEARER_TOKEN_BEDROCK="bearer")
    assert await Credentials().headers(made, "POST", made.root, b"") == {"authorization": "Bearer bearer"}


async def test_a_profile_of_the_user_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text(f"[work]\naws_access_key_id = {ACCESS}\naws_secret_access_key = {SECRET}\n", "utf-8")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    made = row("bedrock", AWS_DEFAULT_REGION="eu-west-1", AWS_PROFILE="work")
    told = await Credentials().headers(made, "POST", f"{made.root}/v1/messages", b"")
    assert f"Credential={ACCESS}/" in told["authorization"]


@pytest.mark.parametrize("env", [{}, {"AWS_PROFILE": "no-such"}])
async def test_nobody_is_known_to_aws(env: dict[str, str]) -> None:
    async with serving("bedrock:m", {"AWS_REGION": "eu-west-1"} | env, ASK) as got:
        assert (got.status, got.headers["x-should-retry"]) == (401, "false")
        assert b"AWS_BEARER_TOKEN_BEDROCK" in got.body


def test_bedrock_without_a_region_is_not_set_up() -> None:
    with pytest.raises(ApiError, match="set AWS_REGION or AWS_DEFAULT_REGION"):
        row("bedrock").credentials()


async def test_what_is_not_whole_yet_is_not_signed() -> None:
    made = row("bedrock", **AWS)
    with pytest.raises(ApiError, match="cannot be signed"):
        await Credentials().headers(made, "POST", made.root, None)


# The others


def test_what_would_lead_elsewhere_is_no_part_of_an_address() -> None:
    for name, variable in (("bedrock", "AWS_REGION"), ("azure", "AZURE_OPENAI_RESOURCE")):
        for value in ("evil.test/", "a@b", "x?y", "#", "a b"):
            with pytest.raises(ValueError, match=variable):
                row(name, **{variable: value})


async def test_azure() -> None:
    made = row("azure", AZURE_OPENAI_RESOURCE="res", AZURE_OPENAI_API_KEY="k")
    assert made.root == "https://res.openai.azure.com/openai/v1"
    assert await Credentials().headers(made, "POST", made.root, b"") == {"api-key": "k"}
    claude = row("azure-anthropic", AZURE_ANTHROPIC_RESOURCE="res", AZURE_ANTHROPIC_API_KEY="k")
    assert claude.root == "https://res.services.ai.azure.com/anthropic"
    assert await Credentials().headers(claude, "POST", claude.root, b"") == {"x-api-key": "k"}


async def test_a_provider_is_one_row_of_data(tmp_path: Path) -> None:
    """Nothing but a table is needed to talk to another one."""
    async with FakeChat([Chat("Hello.")]) as other:
        config = tmp_path / "config.toml"
        config.write_text(
            f'[providers.other]\ndialect = "openai_chat"\nbase_url = "{other.api}"\napi_key_env = "OTHER_KEY"\n',
            "utf-8",
        )
        env = {"CLAUDE_CODE_PROXY_CONFIG": str(config), "OTHER_KEY": "k"}
        async with serving("other:gpt-4.1", env, ASK) as got:
            assert (got.status, json.loads(got.body)["content"][0]["text"]) == (200, "Hello.")
    assert [(rec.path, rec.headers["authorization"]) for rec in other.requests] == [
        ("/v1/chat/completions", "Bearer k")
    ]


async def test_a_fixed_key_waits_for_nothing() -> None:
    made = row("openai", OPENAI_API_KEY="k")
    with pytest.raises(StopIteration) as done:
        Credentials().headers(made, "POST", made.root, b"").send(None)
    assert done.value.value == {"authorization": "Bearer k"}
