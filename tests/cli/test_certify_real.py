"""`certify` on the real small model: honest verdicts, whatever 135 million parameters make of the questions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

from .terminal import clean, piped

if TYPE_CHECKING:
    from pathlib import Path

    from claude_code_proxy.local.server import LocalModel

LONG = 300.0


async def test_what_the_wire_does_passes_and_what_the_model_cannot_is_no_fault_of_it(
    local_model: LocalModel, tmp_path: Path
) -> None:
    """A config.toml that says nothing of the server's lack of tools: the run finds that out."""
    config = tmp_path / "config.toml"
    row = f'dialect = "openai_chat"\nbase_url = "{local_model.base_url}"\napi_key = "{local_model.api_key}"\n'
    config.write_text(f"[providers.small]\n{row}")
    env = clean(tmp_path, CLAUDE_CODE_PROXY_CONFIG=str(config))
    only = ("answer", "stream", "probe", "system", "tool", "image", "max-tokens", "usage", "count-tokens", "interrupt")
    words = ("certify", "small:smollm2-135m", "--json", "--only", *only)
    status, out, err = await piped(*words, env=env, cwd=tmp_path, within=LONG)
    told = json.loads(out)
    levels = {one["name"]: one["level"] for one in told["checks"]}
    sure = ("answer", "stream", "probe", "max-tokens", "usage", "count-tokens", "interrupt")
    assert {name: levels[name] for name in sure} == dict.fromkeys(sure, "pass"), told
    assert levels["system"] in {"pass", "weak"}
    assert levels["tool"] in {"pass", "weak", "fail"}
    assert levels["image"] == "not offered"
    assert status == ("yes", "with limits", "no").index(told["grade"])
    assert local_model.api_key not in out + err
    assert told["asked"]["requests"] > len(only)


async def test_a_model_served_for_the_run(local_model: LocalModel, tmp_path: Path) -> None:
    """`--local` starts one of its own, and ends it; the fixture has fetched it."""
    env = clean(tmp_path, XDG_CACHE_HOME=cache_home())
    words = ("certify", local_model.name, "--local", "--only", "answer", "max-tokens")
    status, out, err = await piped(*words, env=env, cwd=tmp_path, within=LONG)
    assert status == 0, out + err
    assert out.startswith("local:smollm2-135m\n")
    assert out.count("  pass  ") == 2
    assert "Works with Claude Code: yes" in out


def cache_home() -> str:
    """Where this user's cache is, for a program that is given another home."""
    return str(user_cache_path())
