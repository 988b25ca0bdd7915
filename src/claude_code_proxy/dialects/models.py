"""What is known of a model by its name: limits, and which fields it takes. Data in models.toml."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from importlib.resources import files

import msgspec
from msgspec import Struct


class ModelRule(Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of a model. The defaults stand for one that nothing is known of; a limit of 0 is unknown."""

    match: tuple[str, ...] = ()
    context: int = 0
    max_output: int = 0
    efforts: tuple[str, ...] = ()
    effort_with_tools: bool = True
    sampling: bool = True
    stop: bool = True
    forced_tools: bool = True
    thinking_budget: tuple[int, ...] = ()
    signed_calls: bool = False
    media_in_results: bool = False
    form_with_tools: bool = True
    json_schema: bool = True

    def capped(self, asked: int) -> int:
        """An output limit that the model takes."""
        return min(asked, self.max_output or asked)


@lru_cache(maxsize=1024)
def rule_of(model: str) -> ModelRule:
    """The rule for a model as an upstream names it (`vendor/name:variant`)."""
    return next((rule for rule in rules() if named(model, rule.match)), ModelRule())


def named(model: str, patterns: tuple[str, ...]) -> bool:
    """Whether a model's bare name (without `vendor/` and `:variant`, in lower case) fits one of the patterns."""
    name = model.lower().rpartition("/")[2].partition(":")[0]
    return any(fnmatchcase(name, one) for one in patterns)


@cache
def rules() -> tuple[ModelRule, ...]:
    """Every rule, in the order in which they are tried."""
    content = tomllib.loads(files(__package__).joinpath("models.toml").read_text("utf-8"))
    return msgspec.convert(content["model"], tuple[ModelRule, ...])
