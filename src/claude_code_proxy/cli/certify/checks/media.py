"""Checks of what is not text."""

from __future__ import annotations

import secrets
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from claude_code_proxy.cli.certify.checks.words import error_of, shown
from claude_code_proxy.cli.certify.drawn import pdf, png
from claude_code_proxy.cli.certify.verdicts import passed, weak

if TYPE_CHECKING:
    from claude_code_proxy.cli.certify.bench import Bench
    from claude_code_proxy.cli.certify.verdicts import Verdict


async def image(bench: Bench) -> Verdict:
    """A number that was drawn for this question."""
    number = str(10 + secrets.randbelow(90))
    return await _read(bench, _block("image", "image/png", png(number)), "Which number is in this image?", number)


async def document(bench: Bench) -> Verdict:
    """A word in a PDF that was made for this question."""
    word = bench.nonce()
    made = pdf(f"The code word is {word}")
    return await _read(bench, _block("document", "application/pdf", made), "Which code word is in this document?", word)


def _block(kind: str, media_type: str, data: bytes) -> dict[str, Any]:
    return {"type": kind, "source": {"type": "base64", "media_type": media_type, "data": b64encode(data).decode()}}


async def _read(bench: Bench, block: dict[str, Any], question: str, held: str) -> Verdict:
    content = [block, {"type": "text", "text": f"{question} Answer with it alone."}]
    said = await bench.ask([{"role": "user", "content": content}])
    if not said.ok:
        return error_of(said)
    if held in said.text.upper():
        return passed(f"reads {held}")
    return weak(f"it holds {held}, and the model reads “{shown(said.text, 50)}”")
