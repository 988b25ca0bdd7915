"""`claude-code-proxy init`: from nothing to settings that work."""

from __future__ import annotations

import asyncio
import json
import stat
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from claude_code_proxy.cli.config.changes import Change, planned, write
from claude_code_proxy.cli.ending import CommandError
from claude_code_proxy.cli.init.choices import choices, proposed
from claude_code_proxy.cli.local_servers import is_local
from claude_code_proxy.providers import load_providers
from claude_code_proxy.routing import route
from claude_code_proxy.settings import load_settings
from upstreams import FakeChat, FakeOllama, Http, Model, Recorded

from .terminal import PROGRAM, Session, clean, piped, session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[2]
NOWHERE = "http://127.0.0.1:9"
GOOD = "canary-good"


class Strict(FakeChat):
    """Takes one key only."""

    def front(self, rec: Recorded) -> Http | None:
        if rec.headers.get("authorization") != f"Bearer {GOOD}":
            return Http(401, {"error": {"message": "Incorrect API key provided."}})
        return super().front(rec)


@pytest.fixture
async def chat() -> AsyncIterator[Strict]:
    async with Strict() as fake:
        yield fake


@pytest.fixture
async def ollama() -> AsyncIterator[FakeOllama]:
    async with FakeOllama() as fake:
        fake.models |= {"qwen3:8b": Model(), "gpt-oss:20b": Model()}
        yield fake


@pytest.fixture
def bare(tmp_path: Path, chat: Strict) -> dict[str, str]:
    """A machine on which nothing runs and nothing is set, where OpenAI is the fake."""
    away = {row.base_url_env: NOWHERE for row in load_providers({}).values() if is_local(row)}
    return clean(tmp_path, **away, OPENAI_BASE_URL=chat.api, NO_PROXY="127.0.0.1")


def env_of(folder: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in (folder / ".env").read_text().splitlines() if "=" in line)


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def left_over(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


async def answered(shell: Session, question: str, answer: str) -> None:
    await shell.until(question)
    shell.press(f"{answer}\n".encode())


# With questions.


async def test_keys_of_the_environment_and_servers_here_are_found_and_kept(
    bare: dict[str, str], tmp_path: Path, chat: Strict, ollama: FakeOllama
) -> None:
    more = {"GROQ_API_KEY": "canary-bad", "GROQ_BASE_URL": chat.api, "XAI_API_KEY": "canary-x", "XAI_BASE_URL": NOWHERE}
    env = bare | more | {"OPENAI_API_KEY": GOOD, "OLLAMA_API_BASE": ollama.url}
    folder = tmp_path / "new" / "folder"
    async with session("init", "--into", str(folder), env=env, cwd=tmp_path) as shell:
        await answered(shell, r"Which provider \(a number or a name\)\? \[openai\] ", "")
        assert "accepted     openai  OPENAI_API_KEY (environment), 2 models" in shell.screen
        assert "refused      groq    GROQ_API_KEY (environment)" in shell.screen
        assert "unreachable  xai     XAI_API_KEY (environment): Cannot connect" in shell.screen
        assert f"running      ollama  {ollama.url.removeprefix('http://')}, 2 models" in shell.screen
        assert "vllm" not in shell.screen
        await answered(shell, r"Keep OPENAI_API_KEY in the \.env, for other terminals\? \[Y/n\] ", "")
        await answered(shell, r"in place of opus and sonnet.* \[gpt-4\.1\]: ", "")
        await answered(shell, r"in place of haiku.* \[gpt-4\.1-mini\]: ", "")
        await answered(shell, r"Shall other machines use this proxy\? \[y/N\] ", "")
        await answered(shell, r"Write this\? \[Y/n\] ", "")
        status, screen = await shell.ended()
    assert status == 0, screen
    assert screen.rstrip().endswith(f"claude-code-proxy code --env-file {folder}/.env")
    assert "canary" not in screen
    assert "+ OPENAI_API_KEY=********" in screen
    assert env_of(folder) == {
        "PREFERRED_PROVIDER": "openai",
        "OPENAI_API_KEY": GOOD,
        "OPENAI_BASE_URL": chat.api,  # or the key would go elsewhere
        "BIG_MODEL": "gpt-4.1",
        "SMALL_MODEL": "gpt-4.1-mini",
    }
    assert (mode(folder), mode(folder / ".env")) == (0o700, 0o600)
    assert left_over(folder) == [".env"]
    assert chat.posts == []


async def test_a_typed_key_is_checked_and_never_shown(bare: dict[str, str], tmp_path: Path, chat: Strict) -> None:
    async with session("init", "--into", str(tmp_path / "into"), env=bare, cwd=tmp_path) as shell:
        await answered(shell, r"Which provider \(openrouter, .*\)\? ", "nonsense")
        assert "No key was found, and no server runs on this machine." in shell.screen
        await answered(shell, r"There is no provider 'nonsense'[^?]*\? ", "openai")
        await answered(shell, r"OPENAI_API_KEY \(not shown.*\): ", "canary-bad")
        await shell.until("refused")
        await answered(shell, r"(?s)refused.*OPENAI_API_KEY \(not shown.*\): ", GOOD)
        await answered(shell, "opus and sonnet.*: ", "mini")  # a part of its name
        await answered(shell, "haiku.*: ", "zzz")
        await answered(shell, r"lists no 'zzz'.* \[y/N\] ", "")
        await answered(shell, r"(?s)zzz.*haiku.*: ", "gpt-4.1")
        await answered(shell, "other machines.*N] ", "y")
        await answered(shell, "Write this.*Y/n] ", "")
        status, screen = await shell.ended()
    assert status == 0, screen
    assert "https://platform.openai.com/api-keys" in screen
    assert "canary" not in screen
    assert "claude-code-proxy --host 0.0.0.0" in screen
    held = env_of(tmp_path / "into")
    assert (held["OPENAI_API_KEY"], held["BIG_MODEL"], held["SMALL_MODEL"]) == (GOOD, "gpt-4.1-mini", "gpt-4.1")
    assert len(held["PROXY_API_KEY"]) >= 32
    assert held["PROXY_API_KEY"] not in screen


async def test_a_server_on_this_machine_needs_no_key(bare: dict[str, str], tmp_path: Path, ollama: FakeOllama) -> None:
    env = bare | {"OLLAMA_API_BASE": ollama.url}
    async with session("init", "--into", "here", env=env, cwd=tmp_path) as shell:
        await answered(shell, r"Which provider.*\[ollama\] ", "1")
        await answered(shell, r"opus and sonnet.*\[gpt-oss:20b\]: ", "qwen")
        await answered(shell, r"haiku.*: ", "qwen3:8b")
        await answered(shell, "other machines.*N] ", "")
        await answered(shell, "Write this.*Y/n] ", "")
        status, screen = await shell.ended()
    assert status == 0, screen
    assert "Keep" not in screen
    settings = load_settings(env_of(tmp_path / "here"))
    assert str(route("", "opus", settings)) == "ollama:qwen3:8b"
    assert settings.providers["ollama"].base_url == ollama.url


OLD = """\
# my notes

export OPENAI_API_KEY="canary-old"   # the old one
SOMETHING_ELSE='it''s mine'
#BIG_MODEL=x
BIG_MODEL="two
lines"
"""


async def test_what_is_there_is_shown_before_it_goes_and_the_rest_stays(
    bare: dict[str, str], tmp_path: Path, chat: Strict
) -> None:
    (tmp_path / ".env").write_text(OLD)
    (tmp_path / ".env").chmod(0o644)
    words = ("init", "--into", str(tmp_path))
    for answer, written in (("", False), ("y", True)):
        async with session(*words, env=bare, cwd=tmp_path) as shell:
            await answered(shell, r"Which provider.*\? ", "openai")
            assert f"refused  {'':<3} openai  OPENAI_API_KEY ({tmp_path}/.env)" in shell.screen
            await answered(shell, r"OPENAI_API_KEY \(not shown.*\): ", GOOD)
            await answered(shell, "opus and sonnet.*: ", "")
            await answered(shell, "haiku.*: ", "")
            await answered(shell, "other machines.*N] ", "")
            await answered(shell, r"Replace what is there\? \[y/N\] ", answer)
            status, screen = await shell.ended()
        assert "canary" not in screen
        assert "- OPENAI_API_KEY=********" in screen
        assert "+ OPENAI_API_KEY=********" in screen
        assert status == (0 if written else 1)
        assert ((tmp_path / ".env").read_text() == OLD) is not written
    text = (tmp_path / ".env").read_text()
    assert text.startswith(f"# my notes\n\nexport OPENAI_API_KEY={GOOD}\nSOMETHING_ELSE='it''s mine'\n#BIG_MODEL=x\n")
    assert text.count("\nBIG_MODEL=") == 1
    assert "lines" not in text
    assert mode(tmp_path / ".env") == 0o600


@pytest.mark.parametrize("key", [b"\x03", b"\x04"], ids=["ctrl-c", "ctrl-d"])
@pytest.mark.parametrize("at", ["Which provider", "not shown", "opus and sonnet", "Write this"])
async def test_an_interrupted_run_writes_nothing(bare: dict[str, str], tmp_path: Path, key: bytes, at: str) -> None:
    answers = {
        r"Which provider.*\? ": "openai",
        r"not shown.*\): ": GOOD,
        r"opus and sonnet.*: ": "",
        r"haiku.*: ": "",
        r"other machines.*N\] ": "",
        r"Write this.*\] ": "",
    }
    folder = tmp_path / "into"
    async with session("init", "--into", str(folder), env=bare, cwd=tmp_path) as shell:
        for question, answer in answers.items():
            await shell.until(question)
            if question.startswith(at):
                await shell.give_up(key)
                break
            await answered(shell, question, answer)
        status, screen = await shell.ended()
    assert status == 130, screen
    assert "Nothing was written." in screen
    assert "Traceback" not in screen
    assert not folder.exists()


async def test_the_environment_wins_and_that_is_told(bare: dict[str, str], tmp_path: Path) -> None:
    env = bare | {"OPENAI_API_KEY": "canary-bad"}
    async with session("init", "--into", "into", env=env, cwd=tmp_path) as shell:
        await answered(shell, r"Which provider.*\? ", "openai")
        await answered(shell, r"not shown.*\): ", GOOD)
        for question in ("opus and sonnet.*: ", "haiku.*: ", r"other machines.*N\] ", r"Write this.*\] "):
            await answered(shell, question, "")
        status, screen = await shell.ended()
    assert status == 0
    assert "OPENAI_API_KEY comes from environment, which wins over this file: unset it" in screen


# Without.


async def run(env: dict[str, str], cwd: Path, *words: str, given: str = "") -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(*PROGRAM, "init", *words),
        cwd=cwd,
        env=env,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(given.encode()), 30)
    assert "Traceback" not in err.decode()
    assert "canary" not in (out + err).decode()
    return process.returncode or 0, out.decode(), err.decode()


async def test_a_script_pipes_the_key_in(bare: dict[str, str], tmp_path: Path, chat: Strict) -> None:
    words = ("--yes", "--provider", "openai", "--key-stdin", "--small", "gpt-4.1", "--tier", "opus=openrouter:qwen/q")
    status, out, err = await run(bare, tmp_path, *words, "--into", "into", "--json", given=f"{GOOD}\n")
    assert (status, err) == (0, "")
    told = json.loads(out)
    folder = tmp_path / "into"
    assert told["files"] == [str(folder / ".env"), str(folder / "config.toml")]
    assert told["next"] == f"claude-code-proxy code --env-file {folder}/.env --config {folder}/config.toml"
    [check] = told["checks"]
    assert (check["state"], check["place"], check["models"]) == ("accepted", "standard input", 2)
    assert env_of(folder)["OPENAI_API_KEY"] == GOOD
    assert env_of(folder)["SMALL_MODEL"] == "gpt-4.1"
    assert tomllib.loads((folder / "config.toml").read_text())["routing"]["tiers"] == {"opus": "openrouter:qwen/q"}
    assert mode(folder / "config.toml") == mode(folder / ".env") == 0o600
    settings = load_settings(env_of(folder) | {"CLAUDE_CODE_PROXY_CONFIG": str(folder / "config.toml")})
    assert [str(route("", name, settings)) for name in ("opus", "sonnet", "haiku")] == [
        "openrouter:qwen/q",
        "openai:gpt-4.1",
        "openai:gpt-4.1",
    ]


@pytest.mark.parametrize(
    ("words", "more", "status", "told"),
    [
        ([], {}, 2, "claude-code-proxy init --yes --provider openrouter --key-from-env"),
        (["--provider", "openai"], {}, 2, "--provider goes with --yes"),
        (["--yes"], {}, 2, "--yes needs --provider NAME"),
        (["--yes", "--provider", "nowhere"], {}, 2, "There is no provider 'nowhere'"),
        (["--yes", "--provider", "openai"], {}, 1, "set OPENAI_API_KEY and pass --key-from-env"),
        (["--yes", "--provider", "openai", "--key-from-env"], {}, 1, "OPENAI_API_KEY is not set"),
        (["--yes", "--provider", "openai", "--key-stdin"], {}, 1, "standard input was empty"),
        (["--yes", "--provider", "ollama", "--key-from-env"], {}, 2, "ollama takes no key"),
        (["--yes", "--provider", "ollama"], {}, 1, "Start ollama, or pass --no-check."),
        (["--yes", "--provider", "ollama", "--no-check", "--tier", "big=x"], {}, 2, "must be NAME=MODEL"),
        (["--yes", "--provider", "lmstudio", "--no-check"], {}, 2, "Name the model: --big MODEL"),
        (["--yes", "--provider", "openai", "--key-from-env"], {"OPENAI_API_KEY": "canary-bad"}, 1, "refuses the key"),
        (
            ["--yes", "--provider", "openai", "--key-from-env"],
            {"OPENAI_API_KEY": GOOD, "OPENAI_BASE_URL": NOWHERE},
            1,
            "--no-check writes all the same",
        ),
        (
            ["--yes", "--provider", "openai", "--key-from-env", "--big", "gpt-41"],
            {"OPENAI_API_KEY": GOOD},
            1,
            "lists no model 'gpt-41'. It has gpt-4.1",
        ),
        (["--yes", "--provider", "openai"], {"PREFERRED_PROVIDER": "x"}, 1, "PREFERRED_PROVIDER must be one of"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
async def test_what_cannot_be_is_told_and_nothing_is_written(
    bare: dict[str, str], tmp_path: Path, words: list[str], more: dict[str, str], *, status: int, told: str
) -> None:
    got, out, err = await run(bare | more, tmp_path, *words, "--into", "into")
    assert (got, out) == (status, "")
    assert told in err
    assert not (tmp_path / "into").exists()


async def test_a_script_replaces_nothing_unless_it_is_told_to(bare: dict[str, str], tmp_path: Path) -> None:
    env = bare | {"OPENAI_API_KEY": GOOD}
    (tmp_path / ".env").write_text("BIG_MODEL=mine\n")
    words = ("--yes", "--provider", "openai", "--key-from-env", "--into", str(tmp_path))
    status, _, err = await run(env, tmp_path, *words)
    assert status == 1
    assert "- BIG_MODEL=mine\n" in err
    assert "--force" in err
    assert (tmp_path / ".env").read_text() == "BIG_MODEL=mine\n"
    for _ in range(2):  # and a second time nothing changes
        status, _, err = await run(env, tmp_path, *words, "--force")
        assert (status, env_of(tmp_path)["BIG_MODEL"]) == (0, "gpt-4.1"), err
    assert left_over(tmp_path) == [".env"]


async def test_the_settings_that_it_writes_are_those_that_code_reads(
    bare: dict[str, str], tmp_path: Path, ollama: FakeOllama
) -> None:
    """In the config folder, with nothing named."""
    env = {name: value for name, value in bare.items() if name != "CLAUDE_CODE_PROXY_ENV_FILE"}
    env |= {"OLLAMA_API_BASE": ollama.url, "XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    status, out, err = await run(env, tmp_path, "--yes", "--provider", "ollama", "--big", "qwen3:8b")
    assert (status, err) == (0, "")
    assert out.endswith("Start Claude Code:\n\n  claude-code-proxy code\n")
    status, out, _ = await piped("route", "opus", env=env | {"OLLAMA_API_BASE": ""}, cwd=tmp_path)
    assert (status, out.split()[0]) == (0, "ollama:qwen3:8b")


async def test_files_that_cannot_be_written_are_told(bare: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    words = ("--yes", "--provider", "openai", "--key-from-env", "--into", str(tmp_path / "file" / "in"))
    status, _, err = await run(bare | {"OPENAI_API_KEY": GOOD}, tmp_path, *words)
    assert status == 1
    assert "cannot be" in err


async def test_keys_of_another_env_file_are_taken_over(bare: dict[str, str], tmp_path: Path, chat: Strict) -> None:
    """The one of the original project, for example, with the address that its key is for."""
    (tmp_path / "old.env").write_text(f"OPENAI_API_KEY={GOOD}\nOPENAI_BASE_URL={chat.api}\n")
    env = {name: value for name, value in bare.items() if name not in {"OPENAI_BASE_URL", "CLAUDE_CODE_PROXY_ENV_FILE"}}
    words = ("--yes", "--provider", "openai", "--key-from-env", "--env-file", "old.env", "--json")
    status, out, err = await run(env, tmp_path, *words)
    assert (status, err) == (0, "")
    told = json.loads(out)
    assert told["next"] == "claude-code-proxy code"
    held = env_of(tmp_path / ".config" / "claude-code-proxy")
    assert (held["OPENAI_API_KEY"], held["OPENAI_BASE_URL"]) == (GOOD, chat.api)


async def test_a_list_that_needs_no_key_proves_nothing(bare: dict[str, str], tmp_path: Path) -> None:
    class Public(FakeChat):
        def front(self, rec: Recorded) -> Http | None:
            rec.headers.setdefault("authorization", "Bearer x")
            return super().front(rec)

    async with Public() as public:
        env = bare | {"OPENAI_API_KEY": GOOD, "OPENAI_BASE_URL": public.api}
        async with session("init", "--into", "into", env=env, cwd=tmp_path) as shell:
            await shell.until(r"Which provider.*\[openai\] ")
            assert "not checked  openai  OPENAI_API_KEY (environment), 2 models: its list needs no key" in shell.screen


async def test_claude_answers_to_its_own_names(bare: dict[str, str], tmp_path: Path) -> None:
    words = ("--yes", "--provider", "anthropic", "--key-stdin", "--no-check", "--share", "--into", "into")
    status, out, err = await run(bare, tmp_path, *words, given="canary-claude\n")
    assert (status, err) == (0, "")
    assert "--host 0.0.0.0" in out
    assert env_of(tmp_path / "into").keys() == {"PREFERRED_PROVIDER", "ANTHROPIC_API_KEY", "PROXY_API_KEY"}


def test_all_is_written_or_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    changes = [Change(tmp_path / ".env", "", "A=1\n"), Change(tmp_path / "file" / "config.toml", "", "x")]
    with pytest.raises(CommandError, match="cannot be written"):
        write(changes)
    assert left_over(tmp_path) == ["file"]


def test_a_link_to_a_file_stays_one(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    (tmp_path / "dotfiles" / "env").write_text("A=0\n")
    (tmp_path / ".env").symlink_to("dotfiles/env")
    write(planned(tmp_path, {"A": "1"}, {}))
    assert (tmp_path / ".env").is_symlink()
    assert (tmp_path / "dotfiles" / "env").read_text() == "A=1\n"
    assert mode(tmp_path / "dotfiles" / "env") == 0o600
    assert left_over(tmp_path / "dotfiles") == ["env"]


# Where nothing is set up.


async def test_the_other_commands_lead_here(bare: dict[str, str], tmp_path: Path, ollama: FakeOllama) -> None:
    (tmp_path / "bin").mkdir()
    claude = tmp_path / "bin" / "claude"
    claude.write_text("#!/bin/sh\n")
    claude.chmod(0o755)
    env = bare | {"PATH": f"{claude.parent}:{bare['PATH']}"}
    told = "No provider has a key, and no local server runs."
    async with session("--port", "0", env=env, cwd=tmp_path) as shell:
        await shell.until(r" claude\n")
        assert f"{told} `claude-code-proxy init` sets one up." in shell.screen
    status, _, err = await piped("code", "--port", "0", env=env, cwd=tmp_path)
    assert status == 1
    assert told in err
    status, out, _ = await piped("doctor", env=env, cwd=tmp_path)
    assert status == 1
    assert f"bad   {told}\n        → claude-code-proxy init" in out
    for more in ({"OLLAMA_API_BASE": ollama.url}, {"GROQ_API_KEY": "x", "GROQ_BASE_URL": NOWHERE}):
        status, out, _ = await piped("doctor", env=env | more, cwd=tmp_path)
        assert told not in out


# What is proposed.


@pytest.mark.parametrize(
    ("provider", "models", "expected"),
    [
        ("openai", ["gpt-4.1-mini", "gpt-4.1"], ("gpt-4.1", "gpt-4.1-mini")),
        ("openai", [], ("gpt-4.1", "gpt-4.1-mini")),
        ("ollama", ["llama3:8b", "qwen3-coder:30b"], ("qwen3-coder:30b", "qwen3-coder:30b")),
        ("vllm", ["Some/Model"], ("Some/Model", "Some/Model")),
        ("vllm", [], ("", "")),
        ("together", ["a/b", "openai/gpt-oss-20b", "Qwen/Qwen3-Coder"], ("Qwen/Qwen3-Coder", "Qwen/Qwen3-Coder")),
    ],
)
def test_models_are_proposed_from_the_list(provider: str, models: list[str], expected: tuple[str, str]) -> None:
    assert proposed(provider, models) == expected


def test_what_is_proposed_is_what_the_documents_say() -> None:
    notes = tomllib.loads((ROOT / "docs" / "providers.toml").read_text("utf-8"))
    tables = {name: choice for name, choice in choices().items() if name != "any"}
    assert {name for name, choice in tables.items() if choice.key != notes[name].get("key", "")} == set()
    assert {name for name, choice in tables.items() if choice.big and choice.big[0] != notes[name]["model"]} == set()
