"""An image and a PDF, made here so that nobody has seen them before."""

from __future__ import annotations

import zlib
from typing import Final

_DIGITS: Final = (
    "111101101101111",
    "010110010010111",
    "111001111100111",
    "111001111001111",
    "101101111001001",
    "111100111001111",
    "111100111101111",
    "111001001001001",
    "111101111101111",
    "111101111001111",
)
"""Three columns and five rows each."""

_SCALE: Final = 24
"""Pixels to a dot."""


def png(number: str) -> bytes:
    """A PNG in shades of grey: the digits of a number, black on white."""
    rows = [_row("0" * (4 * len(number) + 1))]
    for y in range(5):
        dots = "".join("0" + _DIGITS[int(digit)][3 * y : 3 * y + 3] for digit in number) + "0"
        rows.append(_row(dots))
    rows.append(rows[0])
    pixels = b"".join(row * _SCALE for row in rows)
    width, height = _SCALE * (4 * len(number) + 1), _SCALE * len(rows)
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x00\x00\x00\x00"
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(pixels)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in parts)


def _row(dots: str) -> bytes:
    """A row of pixels behind the byte that says how it is filtered: not at all."""
    return b"\x00" + b"".join((b"\x00" if dot == "1" else b"\xff") * _SCALE for dot in dots)


def _chunk(name: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")


def pdf(text: str) -> bytes:
    """A PDF of one page with one line of plain text, without brackets and backslashes."""
    shown = b"BT /F1 24 Tf 72 720 Td (%b) Tj ET" % text.encode("ascii")
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(shown), shown),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    )
    made, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(made))
        made += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    return made + (
        b"xref\n0 %d\n0000000000 65535 f \n%btrailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
        % (size, table, size, len(made))
    )
