"""What is known of a reply while its bytes pass, for whoever pumps them, logs them and counts them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from claude_code_proxy.wire.events import Usage
from claude_code_proxy.wire.failure import failed

if TYPE_CHECKING:
    from claude_code_proxy.wire.events import Stop
    from claude_code_proxy.wire.failure import Failed


_MOST: Final = 20
"""Kinds of events that are remembered of one reply."""

_CUT: Final = replace(
    failed("api_error", "The upstream closed the stream before the reply ended.", status=502), unanswered=True
)


class Watch:
    """The last stage of a reply writes it; the gateway reads it.

    `started`: something was said, so the answer is committed to this upstream.
    `ending`: the upstream has said why it ends; only its count may follow, and is not worth a long wait.
    `stop`: the reply is whole, nothing more needs to be read. `failed`: it broke off.
    `cut`: why there will be no more bytes, set by the pump before it closes the machine when it knows
    more than "the stream ended" (a time-out, a reset).
    `kinds`: of events that told the decoder nothing; whether they are known to is for others to say.
    """

    __slots__ = ("cut", "ending", "failed", "kinds", "started", "stop", "usage")

    def __init__(self) -> None:
        self.started = False
        self.ending = False
        self.usage = Usage()
        self.stop: Stop | None = None
        self.failed: Failed | None = None
        self.cut: Failed | None = None
        self.kinds: set[str] = set()

    def passed_over(self, kind: object) -> None:
        """An event of this kind told the decoder nothing."""
        if isinstance(kind, str) and len(self.kinds) < _MOST:
            self.kinds.add(kind)

    @property
    def over(self) -> bool:
        """Whether the reply has ended, well or badly."""
        return self.stop is not None or self.failed is not None

    def truncation(self) -> Failed:
        """The failure of a stream that closed before its end."""
        return self.cut or _CUT
