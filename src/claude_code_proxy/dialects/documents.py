"""The text of a document, for models that cannot read one."""

from __future__ import annotations

import base64
import io
import logging
import struct
import zlib
from collections import OrderedDict
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from claude_code_proxy.wire.json_text import fields

if TYPE_CHECKING:
    from claude_code_proxy.wire.messages import Content

_MOST_KEPT: Final = 64
_PAGES: Final = 200
_CHARACTERS: Final = 400_000

_log = logging.getLogger(__name__)


_UNREADABLE: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What a damaged PDF makes a reader raise, beside the reader's own errors."""

_kept: OrderedDict[bytes, str | None] = OrderedDict()
"""The texts of the last documents by digest: the next turn sends the same ones again."""


def heading(block: Content) -> str:
    """What stands before the content of a document block: its title, and what the client says of it."""
    return f"{_title(block)}:" + (f"\n{block.get('context')}" if block.get("context") else "")


def document_text(block: Content) -> str:
    """A document block in words: its text, or that nobody can read it. As slow as `pdf_text`."""
    source = fields(block.get("source"))
    data = str(source.get("data") or "")
    match source.get("type"):
        case "text":
            return f"{heading(block)}\n{data}"
        case "base64" if source.get("media_type") == "application/pdf" and (text := pdf_text(data)):
            return f"{heading(block)}\n{text}"
        case _:
            return f"[{_title(block)}: this model cannot read it.]"


def _title(block: Content) -> str:
    return str(block.get("title") or "document")


def pdf_text(data: str) -> str | None:
    """The text of a base64 PDF, page by page; None if it has none or cannot be read.

    Takes up to seconds for a long one that it has not seen lately.
    """
    digest = sha256(data.encode()).digest()
    if digest not in _kept:
        _kept[digest] = _read(data)
        while len(_kept) > _MOST_KEPT:
            _kept.popitem(last=False)
    return _kept[digest]


def _read(data: str) -> str | None:
    from pypdf import PdfReader  # noqa: PLC0415 -- only who sends a PDF pays for it
    from pypdf.errors import DependencyError, PyPdfError  # noqa: PLC0415

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # what it complains of quotes the document
    try:
        reader = PdfReader(io.BytesIO(base64.b64decode(data)))
        pages = [page.extract_text() for page in reader.pages[:_PAGES]]
        total = len(reader.pages)
    except (*_UNREADABLE, PyPdfError, DependencyError) as cause:
        _log.debug("a PDF could not be read: %s", type(cause).__name__)
        return None
    texts = [f"[page {n}]\n{text.strip()}" for n, text in enumerate(pages, 1) if text.strip()]
    if not texts:
        return None
    if total > _PAGES:
        texts.append(f"[{total - _PAGES} more pages are left out]")
    return "\n\n".join(texts)[:_CHARACTERS]
