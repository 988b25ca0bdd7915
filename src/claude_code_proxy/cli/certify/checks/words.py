"""What the checks say of an answer, in a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_code_proxy.cli.certify.verdicts import failed
from claude_code_proxy.cli.paint import printable

if TYPE_CHECKING:
    from claude_code_proxy.cli.certify.bench import Answer
    from claude_code_proxy.cli.certify.verdicts import Verdict

_LONGEST = 70


def shown(text: object, most: int = _LONGEST) -> str:
    """The beginning of what others wrote."""
    line = " ".join(printable(str(text).replace("\n", " ")).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def error_of(said: Answer) -> Verdict:
    """The verdict on an error in place of an answer."""
    place = f"HTTP {said.status}" if said.status != 200 else "an error in the stream"
    return failed(f"{place}: {shown(said.message, 160)}", said.status if said.status != 200 else 0)
