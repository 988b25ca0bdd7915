"""Which provider an address is: one that is built in, or one that gets a table of its own."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from claude_code_proxy.cli.local_servers import is_local
from claude_code_proxy.providers import find_provider, load_providers

if TYPE_CHECKING:
    from claude_code_proxy.cli.import_.made import Made

_ENDS: Final = (
    ("/chat/completions", "openai_chat"),
    ("/responses", "openai_responses"),
    ("/v1/messages", "anthropic"),
    ("/messages", "anthropic"),
    ("/models", "gemini"),
)
"""What an address ends in where it names the endpoint, and the dialect that is spoken there."""

_OWN: Final = frozenset(
    {"base_url_env", "api_key_env", "aliases", "prefix", "vendors", "vendors_elsewhere", "hosts", "wants", "like"}
)
"""What of a built-in row another account of the same provider does not share."""

_REFERENCE: Final = re.compile(r"(?:os\.environ/(\w+)|\$\{(\w+)\}|\$(\w+))")


def variable_of(text: str) -> str:
    """The variable that a text stands for, as `os.environ/NAME`, `$NAME` or `${NAME}`; empty if it is a text."""
    found = _REFERENCE.fullmatch(text)
    return next(filter(None, found.groups())) if found else ""


class Places:
    """The providers that one file names, each under a name of ours, with what they need in `made`."""

    def __init__(self, made: Made) -> None:
        self._made = made
        self._rows = load_providers({})
        text = files("claude_code_proxy").joinpath("providers.toml").read_text("utf-8")
        self._written: dict[str, dict[str, Any]] = tomllib.loads(text)
        self._keys: dict[str, str] = {}
        self._moved: dict[str, str] = {}

    def find(self, name: str, url: str, key: str, dialect: str = "openai_chat") -> str:
        """Our name for a provider that is at this address, empty if it is none.

        `dialect` is spoken where the address does not tell.
        `name` is what the file calls it, or empty. `key` is the key, or a reference to its variable.
        """
        base, dialect = _base(url, dialect)
        if not base.startswith(("http://", "https://")) or not _authority(base):
            return ""
        found = self._built_in(name, base) or self._of_template(base)
        if found:
            return self.keyed(found, key)
        return self._custom(name, base, key, dialect)

    def keyed(self, name: str, key: str, default: str = "") -> str:
        """Our name for a built-in provider with this key; another account of it gets a table of its own.

        `default` is the variable that the other program takes its key from where the file has none.
        """
        row = self._rows[name]
        key = key or (f"${default}" if default else "")
        if not row.api_key_env or not key:
            return name
        if self._keys.setdefault(name, key) != key:
            number = next(n for n in range(2, 1000) if self._keys.setdefault(f"{name}-{n}", key) == key)
            twin = f"{name}-{number}"
            shared = {field: value for field, value in self._written[name].items() if field not in _OWN}
            self._made.tables.setdefault(("providers", twin), {}).update(shared)
            self._key(twin, "", key)
            return twin
        self._key(name, row.api_key_env, key)
        return name

    def known(self, name: str) -> str:
        """The name of the built-in provider that is called so; empty if none is."""
        row = find_provider(self._rows, name)
        return row.name if row else ""

    def _built_in(self, name: str, base: str) -> str:
        """The row of this address, or the server of this machine that is somewhere else."""
        here = _authority(base)
        found = next((row for row in self._rows.values() if here and _authority(row.base_url) == here), None)
        own = found or find_provider(self._rows, name)
        if not own or not (found or (here and is_local(own) and own.base_url_env)):
            return ""
        if self._moved.setdefault(own.name, here) != here:  # it is somewhere else already
            return ""
        if not found:
            parts = urlsplit(base)
            self._made.values[own.base_url_env] = f"{parts.scheme}://{parts.netloc}"
        return own.name

    def _of_template(self, base: str) -> str:
        """The row whose address is made of variables, which it sets."""
        host = urlsplit(base).hostname or ""
        for name, row in self._written.items():
            template = urlsplit(str(row.get("base_url", ""))).netloc
            if "{" not in template or row.get("auth") in {"google", "aws"}:
                continue
            [variable] = re.findall(r"\{(\w+)\}", template)
            pattern = re.escape(template).replace(re.escape(f"{{{variable}}}"), r"([A-Za-z0-9-]+)")
            if found := re.fullmatch(pattern, host):
                self._made.values[variable] = found[1]
                return name
        return ""

    def _custom(self, name: str, base: str, key: str, dialect: str) -> str:
        """A provider of the user's own, with a key of its own: a built-in one's goes to that one's address only."""
        host = urlsplit(base).hostname or ""
        slug = re.sub(r"[^a-z0-9]+", "-", (name or _authority(base)).lower()).strip("-") or "imported"
        quirks: dict[str, Any] = {}
        if own := find_provider(self._rows, slug):
            slug = f"my-{own.name}"
            if own.dialect == dialect and own.name.partition("-")[0] in host:  # the same, in another region
                quirks = self._written[own.name].get("quirks", {})
        path = ("providers", slug)
        if self._made.tables.get(path, {}).get("base_url", base) != base:
            slug = next(f"{slug}-{n}" for n in range(2, 1000) if ("providers", f"{slug}-{n}") not in self._made.tables)
            path = ("providers", slug)
        self._made.put(*path, dialect=dialect, base_url=base)
        more = {"auth": "x-api-key"} if dialect == "anthropic" else {}
        self._made.put(*path, **more, **({"quirks": quirks} if quirks else {}))
        self._key(slug, "", key)
        return slug

    def _key(self, name: str, variable: str, key: str) -> None:
        """The key in its variable; where it is in one already, the table names that."""
        if not key:
            return
        if referred := variable_of(key):
            if referred != variable:
                self._made.put("providers", name, api_key_env=referred)
            self._made.note(f"{name}: its key stays in {referred}, which must be set where the proxy runs.")
            return
        if not variable:
            variable = f"{re.sub(r'[^A-Z0-9]', '_', name.upper())}_API_KEY"
            if any(variable == row.api_key_env for row in self._rows.values()):
                variable = f"MY_{variable}"
            self._made.put("providers", name, api_key_env=variable)
        self._made.values[variable] = key


def _base(url: str, dialect: str) -> tuple[str, str]:
    """The address without its endpoint, and the dialect that is spoken there."""
    base = url.strip().partition("?")[0].rstrip("/")
    for end, spoken in _ENDS:
        if base.endswith(end):
            return base.removesuffix(end), spoken
    return base, dialect


def _authority(url: str) -> str:
    """Host and port, the same for every name of this machine; empty for what is no address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    host = "localhost" if parts.hostname in {"127.0.0.1", "::1"} else parts.hostname or ""
    return f"{host}:{port}" if port else host
