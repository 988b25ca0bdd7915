"""Makes src/claude_code_proxy/prices.json of the package genai-prices: what the providers that we know ask for tokens.

`--check` fails where it is not what the installed genai-prices says. Left out are models that say no text, and prices
of other service tiers, batches and one-hour cache writes: what is counted of an answer does not tell them.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from genai_prices import types
from genai_prices.data import providers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from decimal import Decimal

FILE: Final = Path(__file__).resolve().parents[1] / "src" / "claude_code_proxy" / "prices.json"

HOSTS: Final = {
    "anthropic": ["api.anthropic.com"],
    "aws": ["bedrock-runtime.*.amazonaws.com", "bedrock-mantle.*.api.aws"],
    "azure": ["*.openai.azure.com", "*.services.ai.azure.com", "*.cognitiveservices.azure.com"],
    "baseten": ["inference.baseten.co"],
    "cerebras": ["api.cerebras.ai"],
    "deepseek": ["api.deepseek.com"],
    "fireworks": ["api.fireworks.ai"],
    "google": [
        "generativelanguage.googleapis.com",
        "aiplatform.googleapis.com",
        "*-aiplatform.googleapis.com",
        "aiplatform.*.rep.googleapis.com",
    ],
    "groq": ["api.groq.com"],
    "minimax": ["api.minimax.io"],
    "mistral": ["api.mistral.ai"],
    "moonshotai": ["api.moonshot.ai"],
    "novita": ["api.novita.ai"],
    "openai": ["api.openai.com"],
    "openrouter": ["openrouter.ai"],
    "ovhcloud": ["oai.endpoints.kepler.ai.cloud.ovh.net"],
    "together": ["api.together.xyz", "api.together.ai"],
    "x-ai": ["api.x.ai"],
    "zai": ["api.z.ai"],
}
"""The lists of genai-prices that are ours to use, and the hosts whose prices each holds, as patterns."""

RATES: Final = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "output_reasoning_mtok")
"""In the order of `prices.Rates`."""


def pattern(match: Any) -> str:
    """One pattern of a clause: a name, with `*` for anything before or after, or a `/regular expression/`."""
    match match:
        case types.ClauseEquals(text):
            return _plain(text)
        case types.ClauseStartsWith(text):
            return f"{_plain(text)}*"
        case types.ClauseEndsWith(text):
            return f"*{_plain(text)}"
        case types.ClauseContains(text):
            return f"*{_plain(text)}*"
        case types.ClauseRegex(text):
            return f"/{text}/"
        case types.ClauseAnd(several):
            return f"/{''.join(f'(?=.*?{_expression(one)})' for one in several)}/"
    raise TypeError(match)


def _expression(match: Any) -> str:
    """A regular expression that is found where the clause holds; each looks from the beginning of the name."""
    match match:
        case types.ClauseStartsWith(text):
            return "^" + re.escape(text.lower())
        case types.ClauseRegex(text):
            return text
    raise TypeError(match)


def _plain(text: str) -> str:
    if "*" in text or (text.startswith("/") and text.endswith("/")):
        raise ValueError(text)
    return text.lower()


def patterns(match: Any) -> list[str]:
    """The patterns of which one must hold. Those that others imply are left out."""
    several = match.or_ if isinstance(match, types.ClauseOr) else [match]
    made = [one for clause in several for one in (patterns(clause) if clause is not match else [pattern(clause)])]
    return [one for one in dict.fromkeys(made) if not any(_implies(one, other) for other in made if other != one)]


def _implies(one: str, other: str) -> bool:
    """Whether whatever fits `one` fits `other`, too, as far as that is easily seen."""
    if one.startswith("/") or other.startswith("/"):
        return False
    text = other.strip("*")
    if other == f"*{text}*":
        return text in one
    return other == f"{text}*" and not one.startswith("*") and one.startswith(text)


def number(value: Decimal) -> float | int:
    return int(value) if value == value.to_integral_value() else float(value)


def rates(price: types.ModelPrice, over: int | None) -> list[float | int | None]:
    """The rates of a prompt of more than `over` tokens; None for the base. Nothing at the end is left out."""
    made: list[float | int | None] = []
    for name in RATES:
        value = getattr(price, name)
        if isinstance(value, types.TieredPrices):
            reached = [tier.price for tier in value.tiers if over is not None and tier.start <= over]
            value = reached[-1] if reached else value.base
        made.append(None if value is None else number(value))
    while made and made[-1] is None:
        made.pop()
    return made


def dated(one: types.ConditionalPrice) -> list[Any]:
    """A row of `prices.Dated`."""
    held = [getattr(one.prices, name) for name in RATES]
    starts = sorted({tier.start for value in held if isinstance(value, types.TieredPrices) for tier in value.tiers})
    made: list[Any] = [rates(one.prices, None), [[start, rates(one.prices, start)] for start in starts], *_when(one)]
    while not made[-1]:
        made.pop()
    return made


def _when(one: types.ConditionalPrice) -> Iterator[Any]:
    """The day from which it holds, and the minutes of the day, UTC, between which it does."""
    limit = one.constraint
    yield limit.start_date.isoformat() if isinstance(limit, types.StartDateConstraint) else None
    if isinstance(limit, types.TimeOfDateConstraint):
        yield [_minute(limit.start_time), _minute(limit.end_time)]


def _minute(time: dt.time) -> int:
    if time.second or time.microsecond or time.utcoffset():
        raise ValueError(time)
    return time.hour * 60 + time.minute


def prices(model: types.ModelInfo) -> list[types.ConditionalPrice]:
    return model.prices if isinstance(model.prices, list) else [types.ConditionalPrice(prices=model.prices)]


def told(model: types.ModelInfo) -> list[list[Any]]:
    """What its tokens cost; nothing where that is not told, but for what is free by its name."""
    held = prices(model)
    if all(_by_tokens(one.prices) for one in held):
        return [dated(one) for one in held]
    return [[[0, 0]]] if model.id.endswith(":free") else []


def _by_tokens(price: types.ModelPrice) -> bool:
    return price.input_mtok is not None and price.output_mtok is not None and price.requests_kcount is None


def made(today: dt.date) -> str:
    """The text of the file."""
    lists = {one.id: one for one in providers if one.id in HOSTS}
    rows = {
        name: {
            "hosts": hosts,
            "others": [other for other in lists[name].fallback_model_providers or [] if other in lists],
            "models": [[patterns(model.match), told(model)] for model in lists[name].models],
        }
        for name, hosts in HOSTS.items()
    }
    head = {
        "about": "USD per million tokens. Made by scripts/prices.py (`make prices`); not to be changed by hand.",
        "source": f"https://pypi.org/project/genai-prices/{version('genai-prices')}/ (MIT)",
        "date": today.isoformat(),
    }
    return "\n".join(_lines(head, rows)) + "\n"


def _lines(head: dict[str, str], rows: dict[str, Any]) -> Iterator[str]:
    """JSON with a line for each model, so that a change shows which."""
    yield "{"
    for key, text in head.items():
        yield f" {_compact(key)}: {_compact(text)},"
    yield ' "lists": {'
    for at, (name, row) in enumerate(rows.items(), 1):
        hosts, others = _compact(row["hosts"]), _compact(row["others"])
        yield f'  {_compact(name)}: {{"hosts": {hosts}, "others": {others}, "models": ['
        yield ",\n".join(_compact(model) for model in row["models"])
        yield "  ]}" + ("," if at < len(rows) else "")
    yield " }"
    yield "}"


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def undated(text: str) -> Iterable[str]:
    return [line for line in text.splitlines() if not line.startswith(' "date":')]


def main(arguments: list[str]) -> int:
    text = made(dt.datetime.now(dt.UTC).date())
    there = FILE.read_text("utf-8") if FILE.is_file() else ""
    if undated(text) == undated(there):
        return 0
    if "--check" in arguments:
        print("src/claude_code_proxy/prices.json is not what genai-prices says: make prices")
        return 1
    FILE.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
