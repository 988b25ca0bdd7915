"""Checks of what is not an answer: errors, leaving, time."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final

from claude_code_proxy.cli.certify.checks.words import error_of, shown
from claude_code_proxy.cli.certify.verdicts import absent, failed, passed, untried, weak

if TYPE_CHECKING:
    from claude_code_proxy.cli.certify.bench import Bench
    from claude_code_proxy.cli.certify.verdicts import Verdict

_NOBODY: Final = "no-such-model-for-sure"
_SLOW_START: Final = 20.0
"""Seconds to the first token with which nobody likes to work, and the tokens a second."""

_SLOW: Final = 8.0


async def unknown_model(bench: Bench) -> Verdict:
    """A name that nobody has."""
    provider, colon, _ = bench.path.partition(":")
    path = f"{provider}:{_NOBODY}" if colon else bench.path
    said = await bench.ask("Hi", path=path, model=_NOBODY, max_tokens=64)
    if said.ok:
        return absent("any name is answered")
    if said.status == 404 or (said.status in {400, 403, 422} and ("model" in said.message.lower())):
        return passed(f"HTTP {said.status}: {shown(said.message)}")
    return error_of(said)


async def interrupt(bench: Bench) -> Verdict:
    """A stream that is left at its first words, and the answer to whatever is asked next."""
    begun, seconds = await bench.left("Write a story of 800 words about the sea.")
    if not begun:
        return weak("it said nothing that could be interrupted")
    said = await bench.ask("Say hello.", max_tokens=64)
    if not said.ok:
        return failed(f"the request after it fails: {shown(said.message)}", said.status)
    return passed(f"closed in {seconds:.1f} s, and the next answer came after {said.first or said.seconds:.1f}")


async def speed(bench: Bench) -> Verdict:
    """The medians of all streams so far."""
    if not bench.speeds:
        return untried("no stream came to its end")
    first, rate = (median(row[column] for row in bench.speeds) for column in range(2))
    told = f"{first:.1f} s to the first token, {rate:.0f} tokens/s"
    return weak(told) if first > _SLOW_START or rate < _SLOW else passed(told)
