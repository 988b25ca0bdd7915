"""The text of a PDF, for models that cannot read one."""

from __future__ import annotations

import base64
import io
import logging
from functools import lru_cache
from typing import Final

_PAGES: Final = 200
_CHARACTERS: Final = 400_000

_log = logging.getLogger(__name__)


@lru_cache(maxsize=64)
def pdf_text(data: str) -> str | None:
    """The text of a base64 PDF, page by page; None if it has none or cannot be read.

    Kept for the next turn, which sends the same document again. Takes up to seconds for a long one.
    """
    from pypdf import PdfReader  # noqa: PLC0415 -- only who sends a PDF pays for it
    from pypdf.errors import PyPdfError  # noqa: PLC0415

    try:
        reader = PdfReader(io.BytesIO(base64.b64decode(data)))
        pages = [page.extract_text() for page in reader.pages[:_PAGES]]
        total = len(reader.pages)
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as cause:
        _log.debug("a PDF could not be read: %s", type(cause).__name__)
        return None
    texts = [f"[page {n}]\n{text.strip()}" for n, text in enumerate(pages, 1) if text.strip()]
    if not texts:
        return None
    if total > _PAGES:
        texts.append(f"[{total - _PAGES} more pages are left out]")
    return "\n\n".join(texts)[:_CHARACTERS]
