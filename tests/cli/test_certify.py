"""`claude-code-proxy certify`: the verdicts on servers that have or lack something, and the profile that mends it."""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from claude_code_proxy.cli.certify.checks import CHECKS
from claude_code_proxy.cli.certify.variants import VARIANTS
from claude_code_proxy.settings import load_settings
from upstreams import Call, Chat, FakeChat, Http, Raw

from . import scripted_model as lack
from .scripted_model import NAME, Scripted
from .terminal import clean, piped, session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

LONG = 120.0


@pytest.fixture
async def server() -> AsyncIterator[FakeChat]:
    async with FakeChat(Scripted()) as fake:
        yield fake


class Place:
    """A user whose config.toml has the server as provider `fake`."""

    def __init__(self, home: Path, server: FakeChat) -> None:
        self.home, self.server, self.config, self.model = home, server, home / "config.toml", NAME
        self.provider = "fake"
        self.env = clean(home, CLAUDE_CODE_PROXY_CONFIG=str(self.config))
        self.write("")

    def write(self, more: str) -> None:
        row = f'[providers.fake]\ndialect = "openai_chat"\nbase_url = "{self.server.api}"\napi_key = "canary-key"\n'
        self.config.write_text(f"{row}\n{more}")

    async def certify(self, *words: str) -> tuple[int, str, str]:
        status, out, err = await piped(
            "certify", f"{self.provider}:{self.model}", *words, env=self.env, cwd=self.home, within=LONG
        )
        assert "Traceback" not in err, err
        assert "canary" not in out + err
        return status, out, err

    async def told(self, *only: str) -> dict[str, Any]:
        """The report in JSON, and in `status` the exit status; the checks by name."""
        status, out, _ = await self.certify("--json", "--only", *only)
        told: dict[str, Any] = json.loads(out)
        return {**told, "status": status, "checks": {one["name"]: one for one in told["checks"]}}


@pytest.fixture
def place(tmp_path: Path, server: FakeChat) -> Place:
    return Place(tmp_path, server)


async def test_a_good_model_on_a_strict_server(place: Place, server: FakeChat) -> None:
    """Everything passes, the record is complete, and nothing was asked that the server would refuse."""
    status, out, err = await place.certify("--json")
    told = json.loads(out)
    levels = {one["name"]: one["level"] for one in told["checks"]}
    assert levels == {check.name: "pass" for check in CHECKS}, told
    assert (status, told["grade"], told["mends"]) == (0, "yes", [])
    assert told["profile"] == f'[models."fake:{NAME}"]\ncontext = 40000\n'  # which nobody knew before
    assert told["model"] == f"fake:{NAME}"
    assert told["asked"]["requests"] == len([post for post in server.posts if "count" not in post.path])
    assert told["asked"]["input"] > 10_000
    assert re.search(r"About \d+ requests and [\d,]+ tokens at 127\.0\.0\.1:\d+", err)
    assert server.refusals == []


def test_every_change_that_is_tried_is_one_that_the_dialect_knows() -> None:
    for variant in VARIANTS:
        for value in variant.values:
            row = {"base_url": "http://127.0.0.1:9", "dialect": variant.dialect, "quirks": {variant.quirk: value}}
            settings = load_settings({}, providers={"fake": row})
            assert settings.providers["fake"].quirks == {variant.quirk: value}
        assert set(variant.checks) <= {check.name for check in CHECKS}


@pytest.mark.parametrize(
    ("lacks", "quirks", "check", "level", "profile"),
    [
        (lack.no_max_tokens, {}, "answer", "fail", {"max_tokens": "max_completion_tokens"}),
        (lack.at_least_16, {}, "probe", "fail", {"min_tokens": 16}),
        (lack.only_first_system, {"system_anywhere": True}, "system-between", "fail", {"system_anywhere": False}),
        (lack.no_files, {"files": True}, "pdf", "fail", {"files": False}),
        (lack.short_mistral_ids, {}, "tool-result", "fail", {"tool_ids": "mistral"}),
        (lack.no_tools, {}, "tool", "fail", {"tools": "schema"}),
        (lack.no_session_key, {"session_key": "prompt_cache_key"}, "tool-many", "fail", {"session_key": ""}),
        (lack.no_effort_of_its_own, {}, "thinking", "not offered", {"effort": "reasoning_effort"}),
        (lack.no_images, {}, "image", "not offered", None),
        (lack.no_forced_tools, {}, "tool-forced", "not offered", None),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
async def test_what_is_missing_is_told_and_what_mends_it_can_be_pasted(
    place: Place,
    server: FakeChat,
    *,
    lacks: Callable[[dict[str, Any]], str],
    quirks: dict[str, Any],
    check: str,
    level: str,
    profile: dict[str, Any] | None,
) -> None:
    server.use(by=Scripted(lacks=[lacks]))
    if lacks is lack.no_effort_of_its_own:
        place.model = lack.THINKS_IF_TOLD
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in quirks.items())
    place.write(f"[providers.fake.quirks]\n{lines}" if quirks else "")
    told = await place.told(check)
    found = told["checks"][check]
    assert found["level"] == level, told
    if profile is None:
        assert told["profile"] == ""
        return
    assert found["quirks"] == profile
    assert found["with_profile"]["level"] == "pass"
    assert told["mends"] == [check]
    assert tomllib.loads(told["profile"]) == {"providers": {"fake": {"quirks": {**quirks, **profile}}}}
    place.write(told["profile"])  # which takes the place of the quirks that were there
    settings = load_settings({"CLAUDE_CODE_PROXY_CONFIG": str(place.config)})
    assert settings.providers["fake"].quirks == {**quirks, **profile}
    again = await place.told(check)
    assert (again["checks"][check]["level"], again["profile"], again["status"]) == ("pass", "", 0)


async def test_two_faults_in_the_same_request(place: Place, server: FakeChat) -> None:
    """The second is seen only when the first is mended."""
    server.use(by=Scripted(lacks=[lack.no_max_tokens, lack.no_session_key]))
    place.write('[providers.fake.quirks]\nsession_key = "prompt_cache_key"\n')
    told = await place.told("answer", "tool", "tool-many")
    levels = {name: one["level"] for name, one in told["checks"].items()}
    quirks = tomllib.loads(told["profile"])["providers"]["fake"]["quirks"]
    assert levels["answer"] == "fail"
    assert (told["grade"], told["grade_with_profile"], told["status"]) == ("no", "yes", 2)
    assert quirks == {"session_key": "", "max_tokens": "max_completion_tokens"}
    assert "answer" in told["mends"]


async def test_limits_that_a_refusal_tells_become_those_of_the_model(place: Place, server: FakeChat) -> None:
    server.use(by=Scripted(lacks=[lack.at_most_8192], window=9_000, told=8_000))
    told = await place.told("output-limit", "long-context", "too-long")
    assert told["checks"]["output-limit"]["level"] == "pass"
    assert told["checks"]["too-long"]["level"] == "pass"
    limits = {"context": 8000, "max_output": 8192}
    assert tomllib.loads(told["profile"]) == {"models": {f"fake:{NAME}": limits}}
    place.write(told["profile"])
    server.use(by=Scripted(lacks=[lack.at_most_8192], window=9_000, told=8_000))
    again = await place.told("output-limit", "too-long")
    assert (again["window"], again["profile"], again["status"]) == (8000, "", 0)


@pytest.mark.parametrize(
    ("answers", "check", "level", "said", "grade"),
    [
        (lambda body: Chat("No."), "tool", "weak", "0 of 3", "no"),
        (lambda body: Chat(tool_calls=[Call("get_weather", {"city": "Rome"})]), "tool", "weak", "city='Rome'", "no"),
        (lambda body: Chat("No."), "system", "weak", "0 of 3", "no"),
        (lambda body: Chat("No."), "structured", "weak", "no JSON", "with limits"),
        (lambda body: Chat("one two"), "stop-sequence", "weak", "never came to it", "with limits"),
        (lambda body: Chat("<think>Hm.</think>Two."), "thinking", "pass", "", "yes"),
        (lambda body: Chat("words " * 400), "max-tokens", "weak", "ended with end_turn", "with limits"),
        (lambda body: Chat("7"), "image", "weak", "reads “7”", "with limits"),
    ],
)
async def test_a_model_that_does_not_do_it_is_weak(
    place: Place,
    server: FakeChat,
    *,
    answers: Callable[[dict[str, Any]], Chat],
    check: str,
    level: str,
    said: str,
    grade: str,
) -> None:
    server.use(by=Scripted(answers=answers))
    told = await place.told(check)
    found = told["checks"][check]
    assert (found["level"], told["grade"]) == (level, grade), found
    assert said in found["text"]


async def test_two_of_three(place: Place, server: FakeChat) -> None:
    """A model that is sometimes right is told so; only the first sample is asked for without chance."""
    tries = iter(range(9))
    server.use(by=Scripted(answers=lambda body: Chat("No.") if next(tries) == 1 else None))
    told = await place.told("tool")
    found = told["checks"]["tool"]
    assert (found["level"], found["passed"], found["samples"]) == ("pass", 2, 3)
    assert found["text"].startswith("2 of 3: ")
    assert [post.json.get("temperature") for post in server.posts] == [0, 0, None, None]


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (Http(401, {"error": {"message": "Wrong key."}}), "HTTP 401, Wrong key."),
        (Http(404, {"error": {"message": "No such model."}}), "HTTP 404, No such model."),
        (Http(402, {"error": {"message": "No credit."}}), "HTTP 402, No credit."),
        (Http(404, {"error": {"message": "No \x1b[2J"}}), "HTTP 404, No [2J"),
    ],
)
async def test_what_cannot_be_certified(place: Place, server: FakeChat, reply: Http, told: str) -> None:
    server.use(reply)
    status, out, err = await place.certify()
    assert status == 3
    assert told in err
    assert "pass" not in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--only", "nothing"), "There is no check 'nothing', but answer, stream,"),
        (("--url", "nowhere:x"), "nowhere"),
        (("--base-url", "here"), "--base-url must be an http:// or https:// address"),
    ],
)
async def test_what_is_no_check_or_no_model(place: Place, words: tuple[str, ...], told: str) -> None:
    status, out, err = await place.certify(*words)
    assert (status, out) == (3, "")
    assert told in err


async def test_a_stream_that_breaks_off_is_a_fault_of_the_wire(place: Place, server: FakeChat) -> None:
    script = Scripted()

    def cut(rec: Any) -> Http | Raw | Chat:
        whole = script(rec)
        if not rec.json.get("stream") or not isinstance(whole, Chat):
            return whole
        made = server.render(whole, rec)
        assert isinstance(made, Raw)
        return Raw([("headers",), *made.ops[:3]], made.status, made.headers)

    server.use(by=cut)
    told = await place.told("stream")
    assert told["checks"]["stream"]["level"] == "fail"
    assert (told["grade"], told["status"]) == ("no", 2)


async def test_through_a_proxy_that_runs(place: Place, server: FakeChat) -> None:
    async with session("--port", "0", env=place.env, cwd=place.home) as shell:
        port = (await shell.until(r"on http://127\.0\.0\.1:(\d+)"))[1]
        base = ("--base-url", f"http://127.0.0.1:{port}", "--url", f"fake:{NAME}")
        server.use(by=Scripted(lacks=[lack.at_least_16]))
        status, out, _ = await place.certify(*base, "--only", "answer", "probe", "unknown-model")
    assert status == 1, out
    assert re.search(r"pass +answers ", out)
    assert re.search(r"fail +answers `/model`", out)
    assert re.search(r"pass +says that there is no such model", out)
    assert "without --base-url it is" in out


async def test_a_proxy_that_does_not_run(place: Place) -> None:
    status, out, err = await place.certify("--base-url", "http://127.0.0.1:9")
    assert status == 3
    assert "It cannot be certified: HTTP 502" in err
    assert "pass" not in out


async def test_what_is_left_ends_upstream_too(place: Place, server: FakeChat) -> None:
    script = Scripted()

    def silent(rec: Any) -> Http | Raw | Chat:
        if "800 words" not in rec.raw.decode():
            return script(rec)
        made = server.render(Chat("The sea was calm."), rec)
        assert isinstance(made, Raw)
        return Raw([*made.ops[:2], ("silence",)], made.status, made.headers)

    server.use(by=silent)
    told = await place.told("interrupt")
    assert told["checks"]["interrupt"]["level"] == "pass", told
    [left] = [post for post in server.posts if "800 words" in post.raw.decode()]
    assert left.left is not None


async def test_quirks_of_a_dialect_that_a_variable_chose(place: Place, server: FakeChat) -> None:
    """The table must name the dialect, or it would be about another one."""
    server.use(by=Scripted(lacks=[lack.at_least_16]))
    place.config.write_text("")
    place.model, place.provider = NAME, "lmstudio"
    place.env |= {
        "LMSTUDIO_DIALECT": "openai_chat",
        "LMSTUDIO_API_BASE": server.api,
        "LMSTUDIO_API_KEY": "canary-key",
    }
    told = await place.told("probe")
    table = tomllib.loads(told["profile"])["providers"]["lmstudio"]
    assert (table["dialect"], table["quirks"]["min_tokens"]) == ("openai_chat", 16)
    assert told["mends"] == ["probe"]


async def test_tables_that_are_there_already_are_to_be_replaced(place: Place, server: FakeChat) -> None:
    server.use(by=Scripted(lacks=[lack.at_least_16]))
    place.write("[providers.fake.quirks]\nfiles = true\n")
    _, out, _ = await place.certify("--only", "probe")
    assert "# Paste this in place of your [providers.fake.quirks] in config.toml; tried so, it mends: probe." in out
    assert "\n[providers.fake.quirks]\nfiles = true\nmin_tokens = 16\n" in out


async def test_a_report_in_a_terminal(place: Place, server: FakeChat) -> None:
    """Coloured lines as they come, the profile ready to paste, the grade."""
    server.use(by=Scripted(lacks=[lack.at_least_16]))
    words = ("certify", f"fake:{NAME}", "--only", "answer", "tool", "probe")
    async with session(*words, env=place.env, cwd=place.home) as shell:
        status, screen = await shell.ended()
        assert b"\x1b[32mpass" in shell.raw
        assert b"\x1b[31mfail" in shell.raw
    assert status == 1, screen
    assert "→ with min_tokens = 16: pass" in screen
    assert "Works with Claude Code: with limits\nWith the profile below: yes\n" in screen
    pasted = screen[screen.index("# Paste this") : screen.rindex("\n\n")]
    assert tomllib.loads(pasted) == {"providers": {"fake": {"quirks": {"min_tokens": 16}}}}
    assert "tried so, it mends: probe." in pasted


@pytest.mark.parametrize(("key", "status", "asked"), [(b"n\r", 3, False), (b"y\r", 0, True)])
async def test_what_costs_is_asked_for(place: Place, server: FakeChat, key: bytes, status: int, *, asked: bool) -> None:
    """An address elsewhere, which an HTTP proxy on this machine stands in for."""
    place.config.write_text(
        '[providers.fake]\ndialect = "openai_chat"\nbase_url = "http://far.example/v1"\napi_key = "canary-key"\n'
    )
    env, server.base = {**place.env, "UPSTREAM_PROXY": server.url}, "http://far.example/v1"
    async with session("certify", f"fake:{NAME}", "--only", "answer", env=env, cwd=place.home) as shell:
        await shell.until(r"About 2 requests and 200 tokens at far\.example.*\nGo on\? \[y/N\]")
        shell.press(key)
        code, screen = await shell.ended()
    assert (code, bool(server.posts)) == (status, asked), screen


async def test_what_others_wrote_moves_no_cursor(place: Place, server: FakeChat) -> None:
    server.use(by=Scripted(answers=lambda body: Chat("Paris\x1b[2J\x9b1m")))
    _, out, _ = await place.certify("--only", "answer")
    assert "Paris[2J1m" in out
    assert not {"\x1b", "\x9b"} & set(out)
