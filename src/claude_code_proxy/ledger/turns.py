"""The turn before a captured request: of the same conversation, to the same model, so that its prompt should go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_code_proxy.ledger.inspect import Section, sections, xray_section
from claude_code_proxy.ledger.xray import xray
from claude_code_proxy.wire.events import Usage

if TYPE_CHECKING:
    from claude_code_proxy.ledger.entry import Entry
    from claude_code_proxy.ledger.reading import Reader
    from claude_code_proxy.ledger.xray import Price, Sight

_BEFORE = """
    SELECT id FROM requests WHERE session = ? AND agent = ? AND endpoint = ? AND kind = ? AND provider = ? AND model = ?
    AND began < ? AND EXISTS (SELECT 1 FROM captures WHERE captures.id = requests.id AND captures.part = 'request')
    ORDER BY began DESC, id DESC LIMIT 1
"""


def turn_before(reader: Reader, entry: Entry) -> Entry | None:
    """The latest captured request before this one in the same conversation; None for one without a session."""
    if not entry.session:
        return None
    same = (entry.session, entry.agent, entry.endpoint, entry.kind, entry.provider, entry.model)
    found = reader.rows(_BEFORE, (*same, entry.began))
    return reader.one(found[0]["id"]) if found else None


def xrayed(reader: Reader, entry: Entry, price: Price | None = None) -> list[Sight]:
    """The cache X-ray of a captured request; nothing for the first one of a conversation.

    Raises `ValueError` for damaged parts.
    """
    before = turn_before(reader, entry)
    these = reader.captured(entry.id)
    if before is None or not these:
        return []
    usage = Usage(entry.input, entry.output, entry.cache_read, entry.cache_write, entry.thinking)
    return xray(reader.captured(before.id), these, usage, price)


def inspected(reader: Reader, entry: Entry, price: Price | None = None) -> list[Section]:
    """All that is shown of a captured request, its cache X-ray first; nothing of one that was not captured.

    Raises `ValueError` for damaged parts.
    """
    held = sections(reader.captured(entry.id))
    return [*map(xray_section, xrayed(reader, entry, price)), *held] if held else []
