"""What a target is given first: the documents that other tests read, and whatever has failed once."""

from __future__ import annotations

from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
_GOLDEN: Final = HERE.parent / "dialects"
_REQUESTS: Final = ("golden*/**/request.json",)

_FOUND: Final = {
    "framing": ("golden/replies/*/upstream.*",),
    "reply-openai_chat": ("golden/replies/*/upstream.*",),
    "reply-openai_responses": ("golden/responses/replies/*/upstream.*",),
    "reply-gemini": ("golden_gemini/*/upstream.*",),
    "reply-anthropic": ("golden*/**/reply.*",),
    "reply-mended": ("golden*/**/reply.*",),
    "front-door": _REQUESTS,
    "request-anthropic": _REQUESTS,
    "request-gemini": _REQUESTS,
    "request-openai_chat": _REQUESTS,
    "request-openai_responses": _REQUESTS,
}
"""Documents of the dialects' tests, by target."""


def seeds(target: str) -> dict[str, bytes]:
    """The inputs of a target by name: those in its folder of the corpus, then those of other tests."""
    stored = sorted(path for path in (HERE / "corpus" / target).glob("*") if path.is_file())
    found = sorted(path for pattern in _FOUND.get(target, ()) for path in _GOLDEN.glob(pattern))
    return {
        **{path.name: path.read_bytes() for path in stored},
        **{"-".join(path.relative_to(_GOLDEN).parts): path.read_bytes() for path in found},
    }
