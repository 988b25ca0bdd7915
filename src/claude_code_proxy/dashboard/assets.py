"""The files that pages need besides themselves: read once, known by name, so that no path leads to another file."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Final

from claude_code_proxy.dashboard.answers import Answer, text

_KINDS: Final = {
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "svg": b"image/svg+xml",
}
_NAMES: Final = ("style.css", "script.js", "mark.svg")


class Assets:
    """The files."""

    def __init__(self) -> None:
        folder = files("claude_code_proxy.dashboard") / "assets"
        self._files = {name: (folder / name).read_bytes() for name in _NAMES}
        self._marks = {name: f'"{hashlib.sha256(data).hexdigest()[:20]}"' for name, data in self._files.items()}

    def answer(self, name: str, known: str) -> Answer:
        """The file of this name, unless its mark is `known`."""
        if name not in self._files:
            return text("There is no such file.\n", 404)
        headers = ((b"cache-control", b"no-cache"), (b"etag", self._marks[name].encode()))
        media = _KINDS[name.rpartition(".")[2]]
        if known == self._marks[name]:
            return Answer(b"", 304, media, headers)
        return Answer(self._files[name], media=media, headers=headers)
