"""Signatures, checked with AWS's own signer, and Claude on Amazon Bedrock."""

from __future__ import annotations

import base64
import json
import logging
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as AwsKey

from claude_code_proxy.credentials import Credentials
from claude_code_proxy.dialects.event_stream import MEDIA_TYPE
from claude_code_proxy.wire.failure import ApiError
from clouds import ACCESS, ASK, AWS, SECRET, SESSION, Claude, nothing_of_this_machine, row, serving
from frames import CHUNK, frame
from upstreams import FakeMessages, Http, Msg, Raw, Recorded, text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    Ask = Callable[[], Awaitable[dict[str, str]]]


__all__ = ["nothing_of_this_machine"]

pytestmark = pytest.mark.usefixtures("nothing_of_this_machine")


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
    headers = {"x-api-key": "never", "anthropic-beta": "effort-2025-11-24"}
    async with FakeMessages([Msg([text("Héllo.")])]) as mantle:
        env["BEDROCK_API_BASE"] = mantle.url
        async with serving("bedrock:claude-sonnet-5-5", env, ASK | {"stream": stream}, headers=headers) as got:
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
        async with serving(f"bedrock-runtime:{model}", env, body, headers={"anthropic-beta": "a-1, b-2"}) as got:
            assert got.status == 200, got.body
            assert b"Hello." in got.body
            assert got.body.endswith(b'{"type":"message_stop"}\n\n') is stream
    [sent] = runtime.requests
    assert sent.path == f"/model/{model}/{manner}"
    verified(sent, runtime.url.removeprefix("http://"), service="bedrock")
    kept = {key: value for key, value in ASK.items() if key != "model"}
    assert sent.json == {**kept, "anthropic_version": "bedrock-2023-05-31", "anthropic_beta": ["a-1", "b-2"]}
    assert not {"anthropic-beta", "anthropic-version"} & sent.headers.keys()


async def test_a_later_version_has_one_name_everywhere() -> None:
    async with Claude([Http(404)]) as runtime:
        env = AWS | {"BEDROCK_RUNTIME_API_BASE": runtime.url}
        async with serving("bedrock-runtime:m", env, ASK, headers={"anthropic-version": "2026-10-21"}):
            assert runtime.requests[0].json["anthropic_version"] == "2026-10-21"


async def test_an_exception_before_the_first_event_is_an_http_error() -> None:
    thrown = frame(
        {":message-type": "exception", ":exception-type": "throttlingException"}, b'{"message":"Slow down."}'
    )
    async with Claude([Raw([("raw", thrown)], headers={"content-type": MEDIA_TYPE})]) as runtime:
        env = AWS | {"BEDROCK_RUNTIME_API_BASE": runtime.url}
        async with serving("bedrock-runtime:m", env, ASK | {"stream": True}) as got:
            assert (got.status, json.loads(got.body)["error"]["message"]) == (429, "Slow down.")


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
