"""Tells, once for each model, that Claude Code takes its window for a larger one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from claude_code_proxy.claude_code import advice, believed
from claude_code_proxy.http.access import printable

if TYPE_CHECKING:
    from claude_code_proxy.gateway import Exchange

_CLIENT: Final = "claude-cli/"
"""How Claude Code's user-agent begins."""

_MOST: Final = 256
"""Models that are spoken of; which there are is the clients' to say."""

_log = logging.getLogger(__name__)


class WindowAdvice:
    """What was told already is remembered here."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def tell(self, exchange: Exchange) -> None:
        """Advise the user whose Claude Code made this request, if there is anything to say, when it is over."""
        asked, target, context = exchange.head.model, exchange.target.name, exchange.limits.context
        agent = exchange.client_headers.get("user-agent", "")
        if target in self._told or len(self._told) == _MOST or not agent.startswith(_CLIENT):
            return
        if exchange.target.provider.serves_claude or not (line := advice(asked, target, context)):
            return
        self._told.add(target)
        _log.info(
            "%s holds %d tokens, and Claude Code takes it for one of %d unless it was started by"
            " `claude-code-proxy code` or with %s",
            printable(target),
            context,
            believed(asked).context,
            printable(line),
        )
