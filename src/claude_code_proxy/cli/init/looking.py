"""What there is: keys in the environment and the .env files, servers on this machine, and what each says of itself."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from claude_code_proxy.cli.config import env_file
from claude_code_proxy.cli.ending import CommandError
from claude_code_proxy.cli.paint import printable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from claude_code_proxy.providers import Provider
    from claude_code_proxy.settings import Settings
    from claude_code_proxy.upstream import Pool

ENVIRONMENT: Final = "environment"


class Held(Struct, frozen=True):
    """The variables that are set: their values, and where each comes from, a file or `environment`.

    `fleeting` are those that only this terminal has, or a file that is not read next time.
    """

    values: dict[str, str]
    places: dict[str, str]
    fleeting: frozenset[str] = frozenset()

    def wins(self, name: str, value: str, file: Path) -> str:
        """The place that would win over this value in the file; empty if none does."""
        place = self.places.get(name, "")
        return place if place not in {"", str(file)} and self.values.get(name) != value else ""


class Seen(Struct, frozen=True):
    """A provider after it was asked for its models.

    `state` is `running` where no key is needed, else what became of the key: `accepted`, `refused`, `not checked`,
    or `unreachable`.
    """

    provider: str
    host: str
    state: str
    variable: str = ""
    place: str = ""
    models: tuple[str, ...] = ()
    why: str = ""

    @property
    def usable(self) -> bool:
        """Whether it can be chosen as it is."""
        return self.state in {"running", "accepted", "not checked"}


def gathered(folder: Path) -> Held:
    """What is set, of the environment, the .env files of this program, and the one in the folder.

    Raises `CommandError`.
    """
    from claude_code_proxy.settings import ENV_FILE, SettingsError, config_folder, origins, values

    try:
        held = dict(values())
    except SettingsError as cause:
        raise CommandError(str(cause)) from None
    places = origins()
    file = folder / ".env"
    own = env_file.read(file.read_text("utf-8")) if file.is_file() else {}
    for name, value in own.items():
        if name not in os.environ and (name not in held or folder != config_folder()):
            held[name], places[name] = value, str(file)
    once = folder != config_folder() or ENV_FILE in os.environ
    fleeting = frozenset(
        name for name, place in places.items() if place == ENVIRONMENT or (once and place != str(file))
    )
    return Held({name: value for name, value in held.items() if value.strip()}, places, fleeting)


def along(row: Provider, held: Held) -> dict[str, str]:
    """What must be kept with a provider's key, or the key would go elsewhere: its address, and its dialect."""
    names = (row.base_url_env, f"{row.name.upper().replace('-', '_')}_DIALECT")
    return {name: held.values[name] for name in names if name in held.values and name in held.fleeting}


def settings_of(held: Held, folder: Path, **more: str) -> Settings:
    """The settings as the folder's files make them, with further variables. Raises `CommandError`."""
    from claude_code_proxy.settings import CONFIG_FILE, ENV_FILE, SettingsError, config_folder, load_settings

    config = folder / "config.toml"
    env = {**held.values, **more}
    if folder != config_folder():
        env |= {CONFIG_FILE: str(config)} if config.is_file() else {ENV_FILE: ""}
    try:
        return load_settings(env)
    except SettingsError as cause:
        raise CommandError(f"{cause}\n`claude-code-proxy doctor` shows where each setting comes from.") from None


def looked(settings: Settings, held: Held, rows: Iterable[Provider]) -> list[Seen]:
    """Ask each of the providers that is set up, all at once."""
    return asyncio.run(_looked(settings, held, list(rows)))


async def _looked(settings: Settings, held: Held, rows: list[Provider]) -> list[Seen]:
    from claude_code_proxy.upstream import Pool

    pool = Pool(settings)
    try:
        return await asyncio.gather(*(_one(settings, held, row, pool) for row in rows))
    finally:
        await pool.close()


async def _one(settings: Settings, held: Held, row: Provider, pool: Pool) -> Seen:
    from msgspec.structs import replace

    from claude_code_proxy.catalogue import ask
    from claude_code_proxy.cli.key_check import key_state

    variable = row.api_key_env if row.api_key else ""
    seen = Seen(row.name, row.host, "not checked", variable, held.places.get(variable, ""))
    if row.unlisted:
        return replace(seen, why="it does not list its models")
    heard = await ask(row, settings, pool, {})
    names = tuple(printable(model.name) for model in heard.models)
    if not row.api_key:
        state = "unreachable" if heard.fault else "running"
    else:
        state = await key_state(row, settings, pool, heard)
        if heard.fault and not heard.status:
            state = "unreachable"
    return replace(seen, state=state, models=names, why=printable(heard.fault))
