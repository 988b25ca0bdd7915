"""`claude-code-proxy import FILE`: the settings of other proxies, which then work here."""

from __future__ import annotations

import stat
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest
from dotenv import dotenv_values

from claude_code_proxy.cli.config import env_file, toml_file
from claude_code_proxy.cli.config.secret import is_secret
from claude_code_proxy.cli.ending import CommandError
from claude_code_proxy.cli.import_ import claude_code_router, json5, litellm, seed
from claude_code_proxy.cli.import_.made import Made, UnusableError
from claude_code_proxy.routing import route
from claude_code_proxy.settings import Settings, load_settings

from .terminal import clean, piped, session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROUTER = """\
{
  // what I use
  "APIKEY": "canary-proxy", 'LOG': true, PORT: 3456, "API_TIMEOUT_MS": "300000", "PROXY_URL": "http://u:canary@h:1", "Brand": {"new": 1},
  "Providers": [
    {
      "name": "openrouter", "api_base_url": "https://openrouter.ai/api/v1/chat/completions", "api_key": "canary-or",
      "models": ["google/gemini-2.5-pro"], "transformer": {"use": [["openrouter", {"provider": {"only": ["x"]}}]]},
    },
    {"name": "deepseek", "api_base_url": "https://api.deepseek.com/chat/completions", "api_key": "$DEEP_KEY",
     "models": ["deepseek-chat"], "transformer": {"use": ["deepseek"], "deepseek-chat": {"use": ["tooluse"]}}},
    {"name": "ollama", "api_base_url": "http://localhost:11434/v1/chat/completions", "api_key": "ollama", "models": []},
    {"name": "gemini", "api_base_url": "https://generativelanguage.googleapis.com/v1beta/models/",
     "api_key": "canary-gemini", "models": ["gemini-2.5-flash"], "transformer": {"use": ["gemini"]}},
    {"name": "dashscope", "api_base_url": "https://dashscope.aliyuncs.com/compatible-mode/v1/chat/completions",
     "api_key": "canary-dash", "models": ["qwen3-coder-plus"], "more": 1,
     "transformer": {"use": [["maxtoken", {"max_tokens": 65536}], "enhancetool"]}},
    {"name": "Volc Engine", "api_base_url": "https://ark.example.com/api/v3/chat/completions", "api_key": "canary-volc"},
    {"name": "claude-like", "api_base_url": "https://claude.example.com/v1/messages", "api_key": "canary-cl"},
    {"name": "nameless"},
  ],
  "Router": {
    "default": "deepseek,deepseek-chat", "background": "ollama,qwen2.5-coder:latest", "think": "Volc Engine,ark-1",
    "longContext": "openrouter,google/gemini-2.5-pro", "webSearch": "gemini,gemini-2.5-flash",
    "image": "nobody,x", "strange": "gemini,gemini-2.5-flash",
  },
  "fallback": {"default": ["openrouter,google/gemini-2.5-pro", "nobody,x"]}, /* the end */
}
"""

LITELLM = """\
model_list:
  - model_name: gpt-4o
    litellm_params: {model: azure/gpt-4o-eu, api_base: "https://my-eu.openai.azure.com/", api_key: os.environ/AZ, rpm: 6}
  - model_name: gpt-4o
    litellm_params: {model: gpt-4o, api_key: canary-openai}
  - model_name: Claude-Sonnet-4-5
    litellm_params: {model: openrouter/qwen/qwen3-coder, api_key: os.environ/OPENROUTER_API_KEY}
    model_info: {max_input_tokens: 200000, max_output_tokens: 64000, mode: chat}
  - model_name: local
    litellm_params: {model: ollama_chat/qwen3:8b, api_base: "http://gpu:11434"}
  - model_name: mine
    litellm_params: {model: openai/foo/bar, api_base: "http://localhost:9001/v1", api_key: none}
  - model_name: one
    litellm_params: {model: hosted_vllm/m, api_base: "http://gpu:8000/v1"}
  - model_name: two
    litellm_params: {model: hosted_vllm/m, api_base: "http://gpu:8001/v1"}
  - model_name: second
    litellm_params: {model: openai/gpt-5, api_key: canary-second}
  - model_name: nim
    litellm_params: {model: nvidia_nim/meta/llama-3, api_key: os.environ/NIM}
  - model_name: cloud
    litellm_params: {model: bedrock/converse/us.anthropic.claude-opus-5-5-v1:0, aws_region_name: us-east-1}
  - model_name: google-claude
    litellm_params: {model: vertex_ai/claude-opus-5-5, vertex_project: p, vertex_location: global}
  - model_name: embed
    litellm_params: {model: openai/text-embedding-3-small}
    model_info: {mode: embedding}
  - model_name: cl
    litellm_params: {model: replicate/x/y}
  - model_name: gone
    litellm_params: {model: openai/x, api_base: os.environ/NOT_SET}
  - model_name: "*"
    litellm_params: {model: "groq/*"}
environment_variables: {NIM: canary-nim, LANGFUSE_HOST: x}
router_settings:
  fallbacks: [{"gpt-4o": ["Claude-Sonnet-4-5", "local"]}, {"nowhere": ["local"]}]
  model_group_alias: {"best": "gpt-4o", "hid": {"model": "local", "hidden": true}, "bad": "nowhere"}
  routing_strategy: least-busy
litellm_settings: {drop_params: true, request_timeout: 300, num_retries: 2, default_fallbacks: ["local"]}
general_settings: {master_key: canary-master, database_url: "postgres://canary@x"}
new_thing: 1
"""

SEED = """\
# the original
OPENAI_API_KEY="canary-openai"
OPENAI_BASE_URL="https://openrouter.ai/api/v1"
PREFERRED_PROVIDER="openai"
BIG_MODEL="qwen/qwen3-coder"
SMALL_MODEL=gpt-4.1-mini
OLLAMA_NUM_CTX=60000
USE_VERTEX_AUTH=False
VERTEX_PROJECT="unset"
ANTHROPIC_BASE_URL=http://localhost:4000
OWN_THING=1
"""


def loaded(made: Made, tmp_path: Path, **more: str) -> Settings:
    """The settings that a file becomes, as the program reads them."""
    config = tmp_path / "config.toml"
    config.write_text(toml_file.edited("", made.tables), "utf-8")
    values = env_file.read(env_file.edited("", made.values))
    return load_settings({**values, "CLAUDE_CODE_PROXY_CONFIG": str(config), **more})


def test_claude_code_router_then_routes_as_it_did(tmp_path: Path) -> None:
    settings = loaded(claude_code_router.made_of(ROUTER), tmp_path, DEEP_KEY="deep")
    sonnet = route("", "claude-sonnet-5", settings)
    assert (str(sonnet), [str(one) for one in sonnet.fallbacks]) == (
        "deepseek:deepseek-chat",
        ["openrouter:google/gemini-2.5-pro"],
    )
    assert str(route("", "claude-haiku-4-5", settings)) == "ollama:qwen2.5-coder:latest"
    kinds = {
        kind: str(route("", "claude-opus-5", settings, kind)) for kind in ("thinking", "long_context", "web_search")
    }
    assert kinds == {
        "thinking": "volc-engine:ark-1",
        "long_context": "openrouter:google/gemini-2.5-pro",
        "web_search": "gemini:gemini-2.5-flash",
    }
    assert settings.tables.kinds.long_context is not None
    assert settings.tables.kinds.long_context.over == 60_000
    assert (settings.proxy_api_key, settings.answer_timeout) == ("canary-proxy", 300.0)
    assert settings.upstream_proxy == "http://u:canary@h:1"
    keys = {name: settings.providers[name].api_key for name in ("deepseek", "openrouter", "gemini", "dashscope")}
    assert keys == {"deepseek": "deep", "openrouter": "canary-or", "gemini": "canary-gemini", "dashscope": ""}
    dash, volc, like = (settings.providers[name] for name in ("my-dashscope", "volc-engine", "claude-like"))
    assert (dash.host, dash.api_key, "cache_marks" in dash.quirks) == ("dashscope.aliyuncs.com", "canary-dash", True)
    assert (volc.base_url, volc.dialect) == ("https://ark.example.com/api/v3", "openai_chat")
    assert (like.root, like.dialect, like.credentials()) == (
        "https://claude.example.com",
        "anthropic",
        {"x-api-key": "canary-cl"},
    )
    assert settings.models["my-dashscope:qwen3-coder-plus"].max_output == 65_536


def test_claude_code_router_and_what_has_no_counterpart() -> None:
    made = claude_code_router.made_of(ROUTER)
    left = dict(made.left)
    assert left.keys() == {
        *("LOG", "PORT", "Brand", "Router.image", "Router.strange", "Providers.nameless", "Providers.dashscope.more"),
        *("Providers.openrouter.transformer openrouter", "Providers.dashscope.transformer enhancetool"),
        *("Providers.deepseek.transformer deepseek", "Providers.deepseek.transformer tooluse"),
        "Providers.gemini.transformer gemini",
    }
    assert left["Brand"] == left["Router.strange"] == "unknown to this version"
    assert "--port" in left["PORT"]
    assert any("DEEP_KEY" in note for note in made.notes)


def test_litellm_then_routes_as_it_did(tmp_path: Path) -> None:
    settings = loaded(litellm.made_of(LITELLM, {}), tmp_path, AZ="az", OPENROUTER_API_KEY="or")
    expected = {
        "gpt-4o": "azure:gpt-4o-eu",
        "claude-sonnet-4-5": "openrouter:qwen/qwen3-coder",
        "claude-sonnet-9": "openrouter:qwen/qwen3-coder",
        "claude-opus-5": "azure:gpt-4o-eu",
        "local": "ollama:qwen3:8b",
        "mine": "localhost-9001:foo/bar",
        "one": "vllm:m",
        "two": "my-vllm:m",
        "second": "openai-2:gpt-5",
        "nim": "nvidia:meta/llama-3",
        "cloud": "bedrock-runtime:us.anthropic.claude-opus-5-5-v1:0",
        "google-claude": "vertex-anthropic:claude-opus-5-5",
        "best": "azure:gpt-4o-eu",
        "hid": "ollama:qwen3:8b",
    }
    assert {name: str(route("", name, settings)) for name in expected} == expected
    fallbacks = {name: [str(one) for one in route("", name, settings).fallbacks] for name in ("gpt-4o", "one")}
    assert fallbacks == {
        "gpt-4o": ["openai:gpt-4o", "openrouter:qwen/qwen3-coder", "ollama:qwen3:8b"],
        "one": ["ollama:qwen3:8b"],
    }
    rows = settings.providers
    keys = {name: rows[name].api_key for name in ("azure", "openai", "openai-2", "openrouter", "nvidia")}
    assert keys == {
        "azure": "az",
        "openai": "canary-openai",
        "openai-2": "canary-second",
        "openrouter": "or",
        "nvidia": "canary-nim",
    }
    assert rows["azure"].host == "my-eu.openai.azure.com"
    assert (rows["vllm"].host, rows["my-vllm"].host, rows["ollama"].host) == ("gpu:8000", "gpu:8001", "gpu:11434")
    assert rows["openai-2"].for_model("gpt-5").dialect == "openai_responses"
    assert "us-east-1" in rows["bedrock-runtime"].base_url
    assert (settings.proxy_api_key, settings.answer_timeout) == ("canary-master", 300.0)
    assert settings.upstream_retries == 2
    limits = settings.models["openrouter:qwen/qwen3-coder"]
    assert (limits.context, limits.max_output) == (200_000, 64_000)


def test_litellm_and_what_has_no_counterpart() -> None:
    left = dict(litellm.made_of(LITELLM, {}).left)
    assert left.keys() == {
        *("model_list embed", "model_list cl", "model_list gone", "environment_variables.LANGFUSE_HOST", "new_thing"),
        *("router_settings.routing_strategy", "litellm_settings.drop_params", "general_settings.database_url"),
        *("litellm_params.rpm", "fallbacks nowhere", "router_settings.model_group_alias bad"),
    }
    assert left["new_thing"] == "unknown to this version"
    assert "NOT_SET" in left["model_list gone"]


def test_the_original_then_works(tmp_path: Path) -> None:
    """Its key for a vendor's model went where OPENAI_BASE_URL leads, and does here."""
    made = seed.made_of(SEED)
    settings = loaded(made, tmp_path)
    opus = route("", "claude-opus-5", settings)
    assert str(opus) == "openrouter:qwen/qwen3-coder"
    assert opus.provider.credentials() == {"authorization": "Bearer canary-openai"}
    assert settings.ollama_num_ctx == 60_000
    assert dict(made.left).keys() == {"ANTHROPIC_BASE_URL", "OWN_THING"}
    assert "VERTEX_PROJECT" not in made.values


def test_a_provider_that_the_original_did_not_know_was_openai(tmp_path: Path) -> None:
    made = seed.made_of("PREFERRED_PROVIDER=whoever\nOPENAI_API_KEY=x\n")
    assert loaded(made, tmp_path).preferred_provider == "openai"
    assert [what for what, _ in made.left] == ["PREFERRED_PROVIDER"]


@pytest.mark.parametrize(
    ("read", "text", "told"),
    [
        (claude_code_router.made_of, "{", "this is no JSON"),
        (claude_code_router.made_of, "[1]", "neither Providers nor Router"),
        (claude_code_router.made_of, "SQLite format 3\x00", "the database of claude-code-router 3"),
        (lambda text: litellm.made_of(text, {}), "a: [", "this is no YAML"),
        (lambda text: litellm.made_of(text, {}), "a: 1", "no model_list"),
        (seed.made_of, "nothing", "sets no variable"),
    ],
)
def test_what_is_something_else_is_told(read: Callable[[str], Made], text: str, told: str) -> None:
    with pytest.raises(UnusableError, match=told):
        read(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"Providers": [1, null, {"name": 5, "api_base_url": "nonsense://[", "models": {}}], "Router": [], "APIKEY": {}}',
        '{"Router": {"default": 5, "think": ["a,b"], "longContextThreshold": "x", "longContext": {}}}',
        '{"Providers": {"a": 1}, "Router": {"default": ","}, "fallback": {"default": "x"}}',
        '{"Providers": [{"name": "a", "api_base_url": "http://x/v1", "transformer": {"use": [[], 1], "m": []}}]}',
    ],
)
def test_no_shape_of_claude_code_routers_file_fails(text: str) -> None:
    assert claude_code_router.made_of(text).tables.keys() <= {("providers", "a")}


@pytest.mark.parametrize(
    "text",
    [
        "model_list: {a: 1}",
        "model_list: [1, {model_name: [x]}, {litellm_params: {model: openai/gpt-4o}}, {model_name: a, litellm_params: 3}]",
        "model_list: []\nrouter_settings: [1]\nlitellm_settings: {fallbacks: 3, model_group_alias: [1], request_timeout: soon}",
        "model_list: [{model_name: a, litellm_params: {model: openai/x, api_base: os.environ/GONE}}]",
    ],
)
def test_no_shape_of_litellms_file_fails(text: str) -> None:
    assert ("routing", "aliases") not in litellm.made_of(text, {}).tables


def test_yaml_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(CommandError, match="uv run --extra import claude-code-proxy import FILE"):
        litellm.made_of("model_list: []", {})


# The command.

FILES = {"config.json": ROUTER, "config.yaml": LITELLM, "old.env": SEED}


@pytest.mark.parametrize("name", FILES)
async def test_it_is_shown_without_secrets_and_written_when_asked_for(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(FILES[name])
    env = clean(tmp_path)
    words = ("import", name, "--into", str(tmp_path / "into"))
    status, out, err = await piped(*words, env=env, cwd=tmp_path)
    assert (status, err) == (0, "")
    assert f"Nothing was written: claude-code-proxy import {name} --write" in out
    assert "canary" not in out
    assert not (tmp_path / "into").exists()
    status, out, _ = await piped(*words, "--write", env=env, cwd=tmp_path)
    assert status == 0
    assert "canary" not in out
    assert "claude-code-proxy doctor" in out
    written = sorted((tmp_path / "into").iterdir())
    assert {file.name for file in written} <= {".env", "config.toml"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in written} == {0o600}
    config = tmp_path / "into" / "config.toml"
    more = {"CLAUDE_CODE_PROXY_CONFIG": str(config)} if config.is_file() else {}
    held = {key: value or "" for key, value in dotenv_values(tmp_path / "into" / ".env", interpolate=False).items()}
    assert load_settings({**held, **more}).preferred_provider == held["PREFERRED_PROVIDER"]
    status, out, _ = await piped(*words, "--write", env=env, cwd=tmp_path)
    assert (status, "say all of it already" in out) == (0, True)


async def test_what_is_there_goes_only_when_that_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "old.env").write_text("BIG_MODEL=theirs\nOPENAI_API_KEY=canary-new\n")
    mine = "BIG_MODEL=mine\n# a note\n"
    (tmp_path / ".env").write_text(mine)
    words = ("import", "old.env", "--into", ".", "--write")
    env = clean(tmp_path)
    status, _, err = await piped(*words, env=env, cwd=tmp_path)
    assert (status, "--force" in err) == (1, True)
    for key, expected in ((b"\n", 1), (b"\x03", 130), (b"\x04", 130)):
        async with session(*words, env=env, cwd=tmp_path) as shell:
            await shell.until(r"Replace what is there\? \[y/N\] ")
            assert "  - BIG_MODEL=mine\n  + BIG_MODEL=theirs\n" in shell.screen
            await shell.give_up(key)
            status, screen = await shell.ended()
        assert (status, "Nothing was written." in screen) == (expected, True)
        assert (tmp_path / ".env").read_text() == mine
    async with session(*words, env=env, cwd=tmp_path) as shell:
        await shell.until(r"Replace what is there\? \[y/N\] ")
        shell.press(b"y\n")
        status, screen = await shell.ended()
    assert (status, "canary" in screen) == (0, False)
    assert (tmp_path / ".env").read_text() == "BIG_MODEL=theirs\n# a note\nOPENAI_API_KEY=canary-new\n"


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["nowhere.json"], 2, "nowhere.json cannot be read: No such file"),
        (["x.env", "--from", "litellm"], 1, "was read as litellm: it has no model_list"),
        (["x.env", "--from", "other"], 2, "invalid choice"),
        (["bad.env"], 1, "MAX_OUTPUT_TOKENS must be a whole number"),
        ([], 2, "required: FILE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
async def test_what_cannot_be_is_told(tmp_path: Path, words: list[str], status: int, told: str) -> None:
    (tmp_path / "x.env").write_text("A_B: 1\n")
    (tmp_path / "bad.env").write_text("MAX_OUTPUT_TOKENS=many\n")
    got, out, err = await piped("import", *words, "--into", "into", "--write", env=clean(tmp_path), cwd=tmp_path)
    assert (got, out) == (status, "")
    assert told in err
    assert "Traceback" not in err
    assert not (tmp_path / "into").exists()


# The files.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{'a': 'it\\'s \"x\"', b: 1, }", {"a": 'it\'s "x"', "b": 1}),
        ('{"a": "// no, /* no */", /* yes */ "b": [1, 2, ], // yes\n}', {"a": "// no, /* no */", "b": [1, 2]}),
        ('{"a": "http://x:1/y,]", $c: null}', {"a": "http://x:1/y,]", "$c": None}),
        ("\ufeff[1, // one\n]", [1]),
    ],
)
def test_json_as_people_write_it(text: str, expected: object) -> None:
    assert json5.loads(text) == expected


@pytest.mark.parametrize(
    "value", ["plain", "a b", "it's", 'say "x"', "back\\slash", "#no", "a=b", "$HOME", "ünï", "a\\'b", "x #y"]
)
@pytest.mark.parametrize("before", ["", "A=1", "# only\r\nNAME=old\r\n", "export NAME='old' # why\nNAME=again\n"])
def test_a_line_of_a_dotenv_holds_any_value(before: str, value: str) -> None:
    after = env_file.edited(before, {"NAME": value})
    assert env_file.read(after) == {**env_file.read(before), "NAME": value}
    assert env_file.edited(after, {"NAME": value}) == after
    assert ("\r\n" in before) == ("\r\n" in after)


def test_a_value_that_was_not_copied_whole_is_refused() -> None:
    with pytest.raises(CommandError, match="cannot be printed"):
        env_file.edited("", {"NAME": "two\nlines"})


CONFIG = """\
# mine
[routing.tiers]   # by size
opus = "a:b" # best
haiku = "c:d"

# next
[models."x:y"]
context = 5
"""


def test_a_config_is_changed_line_by_line() -> None:
    after = toml_file.edited(
        CONFIG, {("routing", "tiers"): {"haiku": "e:f", "sonnet": "g:h"}, ("new", 'a "b"'): {"c": [1]}}
    )
    assert after == CONFIG.replace('"c:d"\n', '"e:f"\nsonnet = "g:h"\n') + '\n[new."a \\"b\\""]\nc = [1]\n'


@pytest.mark.parametrize(
    "before",
    [
        'routing = { tiers = { opus = "a" } }\n',
        'routing.tiers.opus = "a"\n',
        '[routing]\ntiers.opus = "a"\n',
        '[routing.tiers]\nopus = [\n  "a",\n]\n',
        'x = """\n[routing.tiers]\n"""\n',
        "[routing\n",
        "routing = 5\n",
    ],
)
def test_one_that_cannot_be_is_left_alone(before: str) -> None:
    with pytest.raises(CommandError, match=r"config\.toml"):
        toml_file.edited(before, {("routing", "tiers"): {"opus": "new"}})


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("OPENAI_API_KEY", True),
        ("AWS_BEARER_TOKEN_BEDROCK", True),
        ("AWS_SECRET_ACCESS_KEY", True),
        ("api_key", True),
        ("api_key_env", False),
        ("MAX_OUTPUT_TOKENS", False),
        ("OPENAI_BASE_URL", False),
        ("UPSTREAM_PROXY", True),
    ],
)
def test_which_settings_are_secrets(name: str, secret: bool) -> None:  # noqa: FBT001 # a column of the table
    assert is_secret(name) is secret


def test_what_is_shown_of_a_comment_is_no_secret() -> None:
    text = "#OPENAI_API_KEY=canary\n# a note\nX_TOKEN=canary\n"
    assert [shown for _, shown in env_file.pieces(text)] == ["#OPENAI_API_KEY=********", "# a note", "X_TOKEN=********"]
    assert [shown for _, shown in toml_file.pieces('api_key = "canary"\na = 1\n')] == ["api_key = ********", "a = 1"]
    assert tomllib.loads('api_key = "x"') == {"api_key": "x"}
