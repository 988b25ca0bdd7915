"""`claude-code-proxy report REQUEST_ID`: a bundle of files to report a bug with."""

from __future__ import annotations

import os
import platform
import re
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from claude_code_proxy import __version__
from claude_code_proxy.cli.ending import CommandError, loaded
from claude_code_proxy.cli.paint import printable

if TYPE_CHECKING:
    from argparse import Namespace

    from claude_code_proxy.ledger.entry import Entry
    from claude_code_proxy.ledger.reading import Reader
    from claude_code_proxy.providers import Provider

LAST: Final = "last"

_FAILED: Final = ("upstream_error", "timeout", "refused", "shed", "aborted")
_OFF: Final = (
    "What was said is not in it: it is not captured.\nSet PROXY_CAPTURE=true, do it again, and make a new report."
)


def command(arguments: Namespace) -> int:
    """Write the bundle; the exit status. Raises `CommandError`."""
    from claude_code_proxy.ledger.bundle import bundle, zipped
    from claude_code_proxy.ledger.capture import opened_parts
    from claude_code_proxy.ledger.database import faults, is_there
    from claude_code_proxy.ledger.masking import written
    from claude_code_proxy.ledger.reading import Reader
    from claude_code_proxy.secret_values import secrets_of

    settings = loaded()
    place = settings.proxy_ledger
    if not place:
        raise CommandError("There is no ledger: PROXY_LEDGER is off. Without it nothing is known of past requests.")
    if not is_there(place):
        raise CommandError(
            "There is no ledger yet: the proxy writes it from its first request on (PROXY_LEDGER says where)."
        )
    try:
        with closing(Reader(place)) as reader:
            entry = _meant(reader, arguments.request_id)
            parts = opened_parts(reader.captured(entry.id))
    except ValueError as cause:  # a part that is damaged
        raise CommandError(str(cause)) from None
    except faults() as cause:
        raise CommandError(
            f"The ledger cannot be read: {printable(str(cause).strip() or type(cause).__name__)}"
        ) from None
    secrets = written(secrets_of(settings))
    about = {"versions": _versions(entry), "provider": _told(settings.providers.get(entry.provider))}
    files = bundle(entry, parts, about, content=arguments.with_content, secrets=secrets)
    name = f"report-{re.sub('[^A-Za-z0-9_-]', '_', entry.id)[:80]}"
    file = Path(arguments.output or f"{name}.zip")
    _write(file, zipped(files, name))
    sys.stdout.write(f"{file}: {entry.id}, {entry.state}, {entry.provider}:{entry.model}\n")
    if not parts:
        sys.stdout.write(f"{_OFF}\n")
    else:
        held = "Prompts and answers are in it." if arguments.with_content else "Prompts and answers are not in it."
        sys.stdout.write(f"{held} Look through it before you pass it on.\n")
    return 0


def _meant(reader: Reader, id: str) -> Entry:  # noqa: A002 -- the row's own name for it
    """The request of this id, or of `last`: the latest that failed, else the latest. Raises `CommandError`."""
    from claude_code_proxy.ledger.reading import Chosen

    if id != LAST:
        if found := reader.one(id):
            return found
        raise CommandError(f"The ledger has no request {id!r}. The log names them at the end of each line.")
    failed = [entry for state in _FAILED for entry in reader.page(Chosen(state=state), most=1)]
    if latest := max(failed, key=lambda entry: entry.began, default=None) or next(
        iter(reader.page(Chosen(), most=1)), None
    ):
        return latest
    raise CommandError("The ledger holds no requests yet.")


def _versions(entry: Entry) -> dict[str, str]:
    return {
        "proxy": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "client": entry.client,
    }


def _told(provider: Provider | None) -> dict[str, Any]:
    """The provider's row as it is now, without what proves to it who asks."""
    from msgspec.structs import asdict

    from claude_code_proxy.ledger import masking

    if provider is None:
        return {}
    hidden = {"api_key", "api_keys", "auth_options", "spoken"}
    row = {name: value for name, value in asdict(provider).items() if name not in hidden and value}
    row["model_body"] = [asdict(one) for one in provider.model_body]
    row["model_dialect"] = [asdict(one) for one in provider.model_dialect]
    return {**row, "headers": masking.told(provider.headers), "keys": len(provider.api_keys)}


def _write(file: Path, data: bytes) -> None:
    """Write it for its owner alone. Raises `CommandError`."""
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(data)
        if os.name == "posix":
            file.chmod(0o600)
    except OSError as cause:
        raise CommandError(f"{file} cannot be written: {cause.strerror}") from None
