"""How a command ends that cannot do what it was asked to."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from claude_code_proxy.settings import Settings


class CommandError(Exception):
    """What went wrong and what to do next, for a person; `status` is the exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def loaded(status: int = 1) -> Settings:
    """The settings of this process. Raises `CommandError` with the status if they cannot be used."""
    from claude_code_proxy.settings import SettingsError, load_settings

    try:
        return load_settings()
    except SettingsError as cause:
        message = f"{cause}\n`claude-code-proxy doctor` shows where each setting comes from."
        raise CommandError(message, status) from None
