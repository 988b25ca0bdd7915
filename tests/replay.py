"""Plays the bundle of a report again: its upstream's bytes, in the pieces they came in, through the real dialect."""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from claude_code_proxy.dialects import DIALECTS
from claude_code_proxy.dialects.base import Answer, Call, Outgoing
from claude_code_proxy.ledger.shape import shaped
from claude_code_proxy.wire.failure import Failed, envelope
from claude_code_proxy.wire.head import decode_head
from claude_code_proxy.wire.watch import Watch

if TYPE_CHECKING:
    from pathlib import Path

    from claude_code_proxy.dialects.base import Dialect


_UNSIGNED = re.compile(rb'(?<="signature":")[^"]*')
"""What the proxy signs with depends on the words."""


@dataclass(frozen=True)
class Bundle:
    """The files of a bundle, and what `meta.json` says."""

    files: dict[str, bytes]
    meta: dict[str, Any]

    @classmethod
    def of(cls, place: Path) -> Bundle:
        """The bundle in a zip, or in a folder."""
        if place.is_dir():
            files = {file.name: file.read_bytes() for file in place.iterdir()}
        else:
            with zipfile.ZipFile(io.BytesIO(place.read_bytes())) as archive:
                files = {name.rpartition("/")[2]: archive.read(name) for name in archive.namelist()}
        return cls(files, json.loads(files["meta.json"]))

    def part(self, name: str) -> bytes:
        """All bytes of a part."""
        return self.files[self.meta[name]["file"]]

    def pieces(self, name: str) -> list[bytes]:
        """The same as they came."""
        data, out, at = self.part(name), [], 0
        for length in self.meta[name]["lengths"]:
            out.append(data[at : at + length])
            at += length
        return [piece for piece in out if piece]

    @property
    def dialect(self) -> Dialect:
        return DIALECTS[self.meta["asked"]["dialect"]]

    @property
    def call(self) -> Call:
        """The request as its dialect saw it."""
        return Call(head=decode_head(self.part("request")), **self.meta["asked"]["call"])

    def outgoing(self) -> Outgoing:
        """What this version makes of the request for the upstream."""
        made = self.dialect.request(self.call)
        assert isinstance(made, Outgoing)
        return made

    def replayed(self) -> bytes:
        """What this version makes of the upstream's answer for the client."""
        about, watch, call = self.meta["incoming"], Watch(), self.call
        answer = Answer(about.get("status", 0), about.get("headers", {}))
        broke = Failed(**about["broke"]) if "broke" in about else None
        if answer.status and not 200 <= answer.status < 300:
            failure = self.dialect.failure(call, answer, self.part("incoming"))
            return envelope(failure, self.meta["row"]["id"])
        machine = self.dialect.reply(call, self.outgoing(), answer, watch)
        out: list[bytes] = []
        for piece in self.pieces("incoming"):
            out += machine.feed(piece)
        if not watch.over:
            watch.cut = broke
        if self.meta["answer"]["status"] != 499:  # of one that left nobody knows what would have followed
            out += machine.close()
        if watch.failed and not watch.started:
            return envelope(watch.failed, self.meta["row"]["id"])
        return b"".join(out)

    def wrong(self) -> str:
        """How what this version makes of it differs from what was answered; empty if it does not."""
        told, now = self.part("answer"), self.replayed()
        if not self.meta["content"]:  # what the proxy itself says in words was blanked as well
            told, now = _UNSIGNED.sub(b"", told), _UNSIGNED.sub(b"", shaped(now))
        if self.meta["answer"]["status"] == 499 and now.startswith(told):
            return ""
        if told == now:
            return ""
        at = next((n for n, (a, b) in enumerate(zip(told, now, strict=False)) if a != b), min(len(told), len(now)))
        return f"at byte {at}: {told[max(0, at - 60) : at + 60]!r} was {now[max(0, at - 60) : at + 60]!r}"
