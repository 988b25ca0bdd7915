"""A request as a bundle of files, to report a bug with: what happened, and what a test needs to play it again.

The files are named like those of the examples in tests/dialects/golden; `meta.json` says the rest.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import asdict, replace

from claude_code_proxy.ledger.masking import masked, masked_pieces
from claude_code_proxy.ledger.shape import shaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from claude_code_proxy.ledger.capture import Kept
    from claude_code_proxy.ledger.entry import Entry

FORMAT: Final = 1

_ENDINGS: Final = {"text/event-stream": "sse", "application/json": "json"}

_ABOUT: Final = """# A request of Claude Code Proxy

`{id}`, made by `claude-code-proxy report`. Look through it before you pass it on.

{content}

| file | what it is |
|---|---|
{files}

{missing}`tests/replay.py` of the project plays the upstream's answer again and compares what comes of it with the
answer here.
"""
_WITHOUT: Final = """Prompts and answers are not in it: letters are `x` and digits `1`, and everything is as long as
it was. The names of tools, models and fields, schemas, ids and numbers are as they were. Known keys, and what looks
like one, are masked."""
_WITH: Final = """**Prompts and answers are in it.** Known keys, and what looks like one, are masked."""
_NOTHING: Final = """What was said is not in it, because it was not captured. Set `PROXY_CAPTURE=true`
(the proxy takes it up while it runs), do it again, and make a new report.

"""
_FILES: Final = {
    "meta.json": "the ledger's row, the versions, the provider, how it was asked, and how the answer came",
    "request": "what the client sent",
    "upstream.json": "what the upstream was sent",
    "upstream": "what it answered",
    "failed": "what an earlier attempt was answered",
    "answer": "what the client was answered",
}


def bundle(
    entry: Entry,
    parts: Mapping[str, Kept],
    about: Mapping[str, Any],
    *,
    content: bool,
    secrets: Iterable[bytes] = (),
) -> dict[str, bytes]:
    """The files by their names. `about` are versions and what is known of the provider; `secrets` are masked."""
    secrets = tuple(secrets)
    row = entry if content else replace(entry, project="")
    meta: dict[str, Any] = {"bundle": FORMAT, "content": content, "row": asdict(row), **about}
    files: dict[str, bytes] = {}
    if asked := parts.get("asked"):
        meta["asked"] = json.loads(asked.data)
    for name, kept in parts.items():
        if name == "asked":
            continue
        said = _named(name, kept, entry)
        data, lengths = masked_pieces(kept.data, [len(piece) for piece in kept.pieces], secrets)
        files[said] = data if content else shaped(data, _media_type(kept))
        meta[name] = {**_told(kept.about, content=content), "file": said, "lengths": list(lengths)}
    files["meta.json"] = masked(json.dumps(meta, indent=2, ensure_ascii=False).encode(), secrets)
    files["README.md"] = _read_me(entry, files, content=content).encode()
    return dict(sorted(files.items()))


def zipped(files: Mapping[str, bytes], folder: str) -> bytes:
    """The files as a zip, the same bytes each time."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            held = zipfile.ZipInfo(f"{folder}/{name}")
            held.external_attr = 0o600 << 16
            archive.writestr(held, data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _told(about: Mapping[str, Any], *, content: bool) -> dict[str, Any]:
    """What is said of a part, the message of a failure only with content."""
    told = {name: value for name, value in about.items() if name != "lengths"}
    if "broke" in told and not content:
        told["broke"] = {
            **told["broke"],
            "message": shaped(json.dumps(told["broke"]["message"]).encode()).decode()[1:-1],
        }
    return told


def _named(part: str, kept: Kept, entry: Entry) -> str:
    if part == "request":
        return "request.json"
    if part == "outgoing":
        return "upstream.json"
    if part == "answer":
        return "answer.sse" if entry.stream and kept.about.get("status") == 200 else "answer.json"
    ending = _ENDINGS.get(_media_type(kept), "bin")
    name = "upstream" if part == "incoming" else part
    return f"{name}.{'json-reply' if ending == 'json' else ending}"


def _media_type(kept: Kept) -> str:
    headers: Mapping[str, str] = kept.about.get("headers", {})
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _read_me(entry: Entry, files: Mapping[str, bytes], *, content: bool) -> str:
    lines = [f"| `{name}` | {_meaning(name)} |" for name in sorted(files)]
    return _ABOUT.format(
        id=entry.id,
        content=_WITH if content else _WITHOUT,
        files="\n".join(lines),
        missing="" if "request.json" in files else _NOTHING,
    )


def _meaning(name: str) -> str:
    keys: Sequence[str] = sorted(_FILES, key=len, reverse=True)
    return next((_FILES[key] for key in keys if name.startswith(key)), "")
