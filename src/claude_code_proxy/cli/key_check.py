"""Whether a provider takes its key, as far as a question for its list of models tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from claude_code_proxy.catalogue import Heard
    from claude_code_proxy.providers import Provider
    from claude_code_proxy.settings import Settings
    from claude_code_proxy.upstream import Pool

KeyState = Literal["accepted", "refused", "not checked"]

_REFUSED: Final = frozenset({400, 401, 403})
"""With 400, Gemini's word for a key that is none: there is nothing else in such a question to find fault with."""


async def key_state(row: Provider, settings: Settings, pool: Pool, heard: Heard) -> KeyState:
    """What `heard` says of the key. A list that is given without one, too, proves nothing."""
    from claude_code_proxy.catalogue import ask

    if heard.status in _REFUSED:
        return "refused"
    if heard.fault or row.auth in {"google", "aws"}:
        return "not checked"
    keyless = await ask(row, settings, pool, {}, with_key=False)
    return "accepted" if keyless.fault else "not checked"
