"""`certify` in the dialects other than Chat Completions: a quirk of each is found, and its table loads."""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

from claude_code_proxy.settings import load_settings
from upstreams import Call, FakeGemini, FakeMessages, FakeResponses, Gemini, Http, Msg, Raw, Resp, text

from .scripted_model import refused
from .terminal import clean, piped

if TYPE_CHECKING:
    from pathlib import Path

    from upstreams import Recorded


def word(rec: Recorded) -> str:
    """What a good model finds in whatever form of request: the password."""
    found = re.search(r"password is ([0-9A-F]{8})", rec.raw.decode())
    return found[1] if found else "Paris"


def no_developer(rec: Recorded) -> Http | Raw | Resp:
    roles = [item.get("role") for item in rec.json["input"]] if isinstance(rec.json["input"], list) else []
    return refused(400, "Invalid value: 'developer'.") if "developer" in roles else Resp(word(rec))


def no_json_schema(rec: Recorded) -> Http | Raw | Gemini:
    if b"parametersJsonSchema" in rec.raw:
        message = "Invalid JSON payload received. Unknown name \"parametersJsonSchema\" at 'tools[0]'"
        return Http(400, {"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}})
    calls = [Call("get_weather", {"city": "Lisbon"})] if rec.json.get("tools") else []
    return Gemini("" if calls else "Paris", calls=calls)


async def found(home: Path, table: str, check: str) -> tuple[dict[str, Any], Path]:
    """The record of a run of this check, and the file of the settings."""
    config = home / "config.toml"
    config.write_text(table)
    made = clean(home, CLAUDE_CODE_PROXY_CONFIG=str(config))
    status, out, err = await piped("certify", "fake:some-1", "--json", "--only", check, env=made, cwd=home, within=120)
    assert status in {0, 1, 2}, err
    return json.loads(out), config


async def test_responses_for_some_models_of_a_provider(tmp_path: Path) -> None:
    """The table must name the dialect that the model is asked in."""
    async with FakeResponses(no_developer) as fake:
        table = (
            f'[providers.fake]\ndialect = "openai_chat"\nbase_url = "{fake.api}"\napi_key = "k"\n'
            '[[providers.fake.model_dialect]]\nmatch = ["some-*"]\ndialect = "openai_responses"\nanywhere = true\n'
        )
        told, _ = await found(tmp_path, table, "system-between")
    [check] = told["checks"]
    assert (check["level"], check["quirks"]) == ("fail", {"system_role": "system"})
    assert told["mends"] == ["system-between"]
    pasted = {"dialect": "openai_responses", "quirks": {"system_role": "system"}}
    assert tomllib.loads(told["profile"]) == {"providers": {"fake": pasted}}


async def test_gemini(tmp_path: Path) -> None:
    async with FakeGemini(no_json_schema) as fake:
        table = (
            f'[providers.fake]\ndialect = "gemini"\nbase_url = "{fake.api}"\napi_key = "k"\nauth = "x-goog-api-key"\n'
        )
        told, config = await found(tmp_path, table, "tool")
    [check] = told["checks"]
    assert (check["level"], check["quirks"]) == ("fail", {"schema": "openapi"})
    assert told["mends"] == ["tool"]
    config.write_text(table + told["profile"])  # below what is there
    assert load_settings({"CLAUDE_CODE_PROXY_CONFIG": str(config)}).providers["fake"].quirks == {"schema": "openapi"}


async def test_a_native_stream_that_needs_mending(tmp_path: Path) -> None:
    """A server as lenient as llama.cpp was: it leaves its blocks open."""
    async with FakeMessages() as fake:

        def open_blocks(rec: Recorded) -> Http | Raw | Msg:
            made = fake.render(Msg([text("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20")]), rec)
            if isinstance(made, Http):
                return made
            ops = [op for op in made.ops if not (op[0] == "raw" and b"content_block_stop" in op[1])]
            return Raw(ops, made.status, made.headers)

        fake.use(by=open_blocks)
        table = f'[providers.fake]\ndialect = "anthropic"\nbase_url = "{fake.url}"\napi_key = "k"\nauth = "x-api-key"\n'
        told, _ = await found(tmp_path, table, "stream")
    [check] = told["checks"]
    assert (check["level"], check["quirks"]) == ("fail", {"native": "mended"}), told
    assert check["text"] == "message_delta inside a block"
    assert (told["grade"], told["grade_with_profile"]) == ("no", "yes")
