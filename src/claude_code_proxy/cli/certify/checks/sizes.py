"""Checks of how much there is: tokens, limits, caches, windows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from claude_code_proxy.cli.certify.checks.words import error_of, shown
from claude_code_proxy.cli.certify.verdicts import absent, failed, passed, untried, weak

if TYPE_CHECKING:
    from claude_code_proxy.cli.certify.bench import Bench
    from claude_code_proxy.cli.certify.verdicts import Verdict

NEEDLE: Final = 20_000
"""Tokens of the long prompt, unless `--long` asks for more."""

CLAUDE_CODE_ASKS: Final = 32_000
"""The output limit that Claude Code asks of a model it does not know (2.1.330)."""

_LINE: Final = "Line {0}: in the quiet valley a river runs past an old mill, and nobody there counts the days.\n"
_TOKENS_A_LINE: Final = 25
_COMPACTS: Final = re.compile(r"prompt is too long: (\d+) tokens > (\d+) maximum")
_LOWERS: Final = re.compile(r"max_tokens: (\d+) > (\d+), which is the maximum allowed")
_EXCEEDS: Final = re.compile(r"input length and `max_tokens` exceed context limit: (\d+) \+ (\d+) > (\d+)")
_UNKNOWN: Final = 160_000
"""Tokens of the prompt that is too long for a model whose window nobody knows."""


async def output_limit(bench: Bench) -> Verdict:
    """What Claude Code asks for, at first."""
    said = await bench.ask("Say hello.", max_tokens=CLAUDE_CODE_ASKS)
    if said.ok:
        return passed(f"max_tokens: {CLAUDE_CODE_ASKS} is taken")
    if found := _LOWERS.search(said.message):
        bench.found_output = int(found[2])
        return passed(f"refused in words that make Claude Code ask for {found[2]}")
    if found := _EXCEEDS.search(said.message):
        bench.found_window = int(found[3])
        return passed(f"refused in words that make Claude Code ask for less, with a window of {found[3]}")
    return error_of(said)


async def usage(bench: Bench) -> Verdict:
    """The counts of a short and a longer prompt."""
    short = await bench.ask("Say hello.", max_tokens=64)
    longer = await bench.ask(_text(10) + "\nSay hello.", max_tokens=64)
    for said in (short, longer):
        if not said.ok:
            return error_of(said)
    told = f"{short.input_tokens} and {longer.input_tokens} in, {short.output_tokens} and {longer.output_tokens} out"
    if longer.input_tokens <= short.input_tokens or not short.input_tokens:
        return failed(f"the count of the prompt does not grow with it: {told}")
    return passed(told) if short.output_tokens and longer.output_tokens else failed(f"nothing counted: {told}")


async def cache(bench: Bench) -> Verdict:
    """A long prompt twice, with Anthropic's mark."""
    lines = min(160, int(bench.window * 0.5 / _TOKENS_A_LINE) if bench.window else 160)
    text = f"{bench.nonce()}\n{_text(lines)}"
    blocks = [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]
    for _ in range(2):
        said = await bench.ask("Say hello.", system=blocks, max_tokens=64)
        if not said.ok:
            return error_of(said)
    read = said.usage.get("cache_read_input_tokens") or 0
    return passed(f"{read} of {said.input_tokens} tokens came from it") if read else absent("none is reported")


async def count_tokens(bench: Bench) -> Verdict:
    """The count beforehand, by the backend or our estimate, and the one of the reply."""
    body: dict[str, Any] = {
        "system": "You answer briefly.",
        "messages": [{"role": "user", "content": _text(10) + "\nSay hello."}],
    }
    counted = await bench.count(**body)
    said = await bench.ask(**body, max_tokens=64)
    if not said.ok:
        return error_of(said)
    if not counted or not said.input_tokens:
        return failed("no count")
    off = counted / said.input_tokens - 1
    told = f"{counted} counted, {said.input_tokens} in the reply ({off:+.0%})"
    return passed(told) if abs(off) <= 1 / 3 else weak(told)


async def needle(bench: Bench) -> Verdict:
    """A sentence at two thirds of a long prompt."""
    tokens = NEEDLE
    if bench.window:
        tokens = int(bench.window * 0.8) if bench.long else min(NEEDLE, int(bench.window * 0.6))
    lines = tokens // _TOKENS_A_LINE
    word = bench.nonce()
    at = lines * 2 // 3
    text = f"{_text(at)}The password of the mill is {word}.\n{_text(lines, at)}"
    said = await bench.ask(f"{text}\nWhat is the password of the mill? Answer with it alone.")
    if not said.ok:
        if found := _COMPACTS.search(said.message):
            bench.found_window = bench.window = int(found[2])
            return weak(f"its window is {found[2]} tokens: a prompt of {found[1]} does not fit")
        return error_of(said)
    if word in said.text:
        return passed(f"found among {said.input_tokens} tokens")
    return weak(f"not found among {said.input_tokens} tokens: “{shown(said.text, 50)}”")


async def too_long(bench: Bench) -> Verdict:
    """A prompt that cannot fit, where that costs nothing: the window is known, or the model is nearby."""
    if not bench.window and not (bench.local or bench.long):
        return untried("its window is not known, and a prompt that may fit costs; --long tries it")
    tokens = int(bench.window * 1.4) + 400 if bench.window else _UNKNOWN
    said = await bench.ask(_text(tokens // (_TOKENS_A_LINE - 5)), max_tokens=64)
    if said.ok:
        where = f"{said.input_tokens} of about {tokens} tokens were read"
        return passed(f"it fits: {where}") if said.input_tokens > tokens * 0.6 else failed(f"cut silently: {where}")
    if found := _COMPACTS.search(said.message):
        bench.found_window = int(found[2])
        return passed(shown(said.message, 100))
    if said.message.startswith("prompt is too long"):
        return passed(f"in its words, without numbers: {shown(said.message)}")
    return error_of(said)


def _text(lines: int, begin: int = 0) -> str:
    return "".join(_LINE.format(number) for number in range(begin, lines))
