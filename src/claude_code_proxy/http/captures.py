"""Which requests are captured, and what must not be kept of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_code_proxy.ledger.capture import Capture
from claude_code_proxy.ledger.masking import written
from claude_code_proxy.secret_values import SECRET, secrets_of

if TYPE_CHECKING:
    from claude_code_proxy.http.access import Record
    from claude_code_proxy.ledger.writer import Ledger
    from claude_code_proxy.settings import Settings


class Captures:
    """Captures under these settings."""

    def __init__(self, settings: Settings, ledger: Ledger | None) -> None:
        self._ledger = ledger
        self._secrets = written(secrets_of(settings))

    def of(self, record: Record, body: bytes) -> Capture | None:
        """The capture of a request that has this body; None without a ledger."""
        if not self._ledger:
            return None
        capture = Capture(self._ledger, record.request_id, record.since, self._secrets)
        theirs = (value.rpartition(" ")[2] for name, value in record.headers.items() if SECRET.search(name))
        capture.requested(body, theirs)
        return capture
