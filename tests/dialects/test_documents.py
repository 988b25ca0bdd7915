"""The text of PDF documents, for models that cannot read them: whatever the bytes are, an answer and no error."""

from __future__ import annotations

import base64
import random
import struct
import zlib

import pytest
from pypdf.errors import DependencyError

from calls import body, sent
from claude_code_proxy.dialects.documents import pdf_text
from claude_code_proxy.dialects.openai_chat import DIALECT


def pdf(*pages: str) -> bytes:
    """A PDF whose pages say these lines."""
    first = 4
    kids = " ".join(f"{first + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for n, page in enumerate(pages):
        lines = " T* ".join(f"({line}) Tj" for line in page.split("\n"))
        said = f"BT /F1 12 Tf 14 TL 72 720 Td {lines} ET" if page else ""
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] "
            f"/Resources << /Font << /F1 3 0 R >> >> /Contents {first + 2 * n + 1} 0 R >>"
        )
        objects.append(f"<< /Length {len(said)} >>\nstream\n{said}\nendstream")
    out, offsets = b"%PDF-1.4\n", []
    for number, one in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{one}\nendobj\n".encode()
    table = "".join(f"{at:010} 00000 n \n" for at in offsets)
    size = len(objects) + 1
    end = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n"
    return out + end.encode()


def text_of(data: bytes) -> str | None:
    return pdf_text(base64.b64encode(data).decode())


def test_the_text_of_every_page_is_told_with_its_number() -> None:
    assert text_of(pdf("one\ntwo", "three")) == "[page 1]\none\ntwo\n\n[page 2]\nthree"


def test_an_empty_page_is_left_out_but_counted() -> None:
    assert text_of(pdf("one", "", "three")) == "[page 1]\none\n\n[page 3]\nthree"


@pytest.mark.parametrize("pages", [[], [""], ["", ""]])
def test_a_pdf_without_text_has_none(pages: list[str]) -> None:
    assert text_of(pdf(*pages)) is None


def test_a_long_pdf_says_what_is_left_out() -> None:
    said = text_of(pdf(*(f"p{n}" for n in range(1, 204)))) or ""
    assert "[page 200]\np200" in said
    assert "p201" not in said
    assert said.endswith("[3 more pages are left out]")


def test_a_pdf_with_very_much_text_is_cut() -> None:
    said = text_of(pdf(*["\n".join(["word " * 100] * 50)] * 30)) or ""
    assert 300_000 < len(said) <= 400_000


WHOLE = pdf("one two three", "four")
BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "words": b"this is no PDF",
    "an image": b"\x89PNG\r\n\x1a\n" + bytes(50),
    "a head alone": b"%PDF-1.4\n",
    "half of one": WHOLE[: len(WHOLE) // 2],
    "no catalog": WHOLE.replace(b"/Root 1 0 R", b"/Root 9 0 R"),
    "a catalog that is a page": WHOLE.replace(b"/Root 1 0 R", b"/Root 4 0 R"),
    "pages that hold themselves": WHOLE.replace(b"/Kids [4 0 R", b"/Kids [2 0 R"),
    "pages that are no list": WHOLE.replace(b"/Kids [4 0 R 6 0 R]", b"/Kids (4 0 R 6 0 R)"),
    "a huge number": WHOLE.replace(b"/Size 8", b"/Size 99999999999999999999"),
    "a length that is wrong": WHOLE.replace(b"/Length", b"/Length -"),
    "an unknown filter": WHOLE.replace(b"<< /Length", b"<< /Filter /Unheard /Length"),
    "data that is not compressed": WHOLE.replace(b"<< /Length", b"<< /Filter /FlateDecode /Length"),
    "encrypted": WHOLE.replace(b"/Root 1 0 R", b"/Root 1 0 R /Encrypt << /Filter /Standard /V 5 /R 6 /Length 256 /P -1 "
                               b"/O (" + b"o" * 48 + b") /U (" + b"u" * 48 + b") /OE (" + b"e" * 32 + b") /UE (" + b"f" * 32
                               + b") /Perms (" + b"p" * 16 + b") /CF << /StdCF << /CFM /AESV3 /Length 32 >> >> /StmF /StdCF /StrF /StdCF >> /ID [(a) (b)]"),
    "encrypted in an unknown way": WHOLE.replace(b"/Root 1 0 R", b"/Root 1 0 R /Encrypt << /Filter /Unheard /V 9 >>"),
}  # fmt: skip


@pytest.mark.parametrize("data", BROKEN.values(), ids=list(BROKEN))
def test_a_broken_pdf_raises_nothing(data: bytes) -> None:
    assert text_of(data) is None or "page" in str(text_of(data))


@pytest.mark.parametrize("data", ["", "!!!", "é", "a", "JVBERi0x", "None", "\x00"])
def test_what_is_no_base64_has_no_text(data: str) -> None:
    assert pdf_text(data) is None


def test_a_pdf_that_was_damaged_anywhere_raises_nothing() -> None:
    chance = random.Random(5)
    for _ in range(250):
        damaged = bytearray(WHOLE)
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(damaged))
            damaged[at : at + chance.randint(0, 3)] = chance.choice(
                [b"", b"\x00", b"9", b"(", b"<<", b">>", b"/", b"-1", b" 0 R"]
            )
        said = text_of(bytes(damaged))
        assert said is None or said


@pytest.mark.parametrize(
    "cause",
    [DependencyError, AssertionError, NotImplementedError, IndexError, ZeroDivisionError, struct.error, zlib.error],
)
def test_whatever_the_library_raises_there_is_no_text(cause: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    # DependencyError: an encrypted one, where the library for that is not installed
    def refuse(*_: object) -> None:
        raise cause

    monkeypatch.setattr("pypdf.PdfReader", refuse)
    assert text_of(f"%PDF {cause.__name__}".encode()) is None


def test_the_text_is_read_once_for_every_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    data = base64.b64encode(pdf("only once")).decode()
    assert pdf_text(data) == "[page 1]\nonly once"
    monkeypatch.setattr("claude_code_proxy.dialects.documents._read", lambda _: pytest.fail("read again"))
    assert pdf_text(data) == "[page 1]\nonly once"


def test_a_pdf_becomes_text_in_the_request_and_in_a_tool_result() -> None:
    source = {"type": "base64", "media_type": "application/pdf", "data": base64.b64encode(pdf("words")).decode()}
    document = {"type": "document", "source": source, "title": "paper"}
    turns = [
        {"role": "user", "content": [document, {"type": "text", "text": "sum it up"}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [document]}]},
    ]
    first, _, heard, after = sent(DIALECT, body(messages=turns))["messages"]
    assert first["content"] == "paper:\n[page 1]\nwords\n\nsum it up"
    assert heard["role"] == "tool"
    assert after == {"role": "user", "content": "paper:\n[page 1]\nwords"}


@pytest.mark.fault("S-09", "S-19")
@pytest.mark.parametrize(
    "data",
    [
        b"CANARY\n%%EOF",
        b"%PDF-1.4\n1 0 obj\n<</CANARY 1 /CANARY 2 /Type/Catalog/Pages 2 0 R>>\nendobj\n"
        b"trailer<</Root 1 0 R>>\nstartxref\n9\n%%EOF",
    ],
    ids=["no header", "a name twice"],
)
def test_what_is_in_a_document_is_not_in_the_log(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """The library's complaints quote what it reads."""
    caplog.set_level("DEBUG")
    assert pdf_text(base64.b64encode(data).decode()) is None
    assert "CANAR" not in caplog.text
