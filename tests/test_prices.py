"""What an answer costs: against the price library's own sums, by every spelling, and never more sure than it can be."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest
from genai_prices import types as library
from genai_prices.data_snapshot import DataSnapshot, get_snapshot
from hypothesis import given
from hypothesis import strategies as st

from claude_code_proxy.prices import UNKNOWN, Cost, cost, price_lists
from claude_code_proxy.providers import Provider, load_providers
from claude_code_proxy.settings import SettingsError, load_settings
from claude_code_proxy.tables import Price
from claude_code_proxy.wire.events import Usage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT: Final = Path(__file__).parents[1]
FILE: Final = ROOT / "src" / "claude_code_proxy" / "prices.json"

PLACES: Final = {
    "AWS_REGION": "us-east-1",
    "AZURE_OPENAI_RESOURCE": "mine",
    "AZURE_ANTHROPIC_RESOURCE": "mine",
    "VERTEX_LOCATION": "us-east5",
    "VERTEX_PROJECT": "mine",
}
PROVIDERS: Final = load_providers(PLACES)

NOW: Final = datetime(2026, 11, 22, 12, tzinfo=UTC)
TIMES: Final = [
    NOW,
    datetime(2026, 11, 22, 0, 59, 59, tzinfo=UTC),
    datetime(2026, 11, 22, 1, tzinfo=UTC),
    datetime(2026, 11, 22, 3, 59, 59, 900_000, tzinfo=UTC),
    datetime(2026, 11, 22, 4, tzinfo=UTC),
    datetime(2026, 11, 22, 7, 30, tzinfo=UTC),
    datetime(2026, 9, 10, tzinfo=UTC),
    datetime(2026, 9, 9, 23, 59, 59, tzinfo=UTC),
    datetime(2026, 8, 1, 20, tzinfo=UTC),
    datetime(2024, 1, 1, 20, tzinfo=UTC),
    datetime(2030, 1, 1, 20, tzinfo=UTC),
]
SMALL: Final = Usage(1234, 567, 89, 10, 300)
USAGES: Final = [
    SMALL,
    Usage(7, 1, None, None, None),
    Usage(0, 0, 0, 0, 0),
    *(Usage(over - 1000 + more, 4000, 600, 400, 1000) for over in (100_000, 128_000, 200_000) for more in (-1, 0, 1)),
    Usage(100, 900_000, 250_000, 50_000, 0),
    Usage(2_000_000, 1, 0, 0, 0),
]


def asked(provider: str, model: str, usage: Usage = SMALL, own: Mapping[str, Price] | None = None) -> Cost:
    """The cost at one of the built-in providers."""
    return cost(PROVIDERS[provider], model, usage, NOW.timestamp(), own or {})


# -- against the library


@cache
def snapshot() -> DataSnapshot:
    return get_snapshot()


def _names(clause: Any) -> Iterator[str]:
    """Names that a clause takes, from its own words."""
    match clause:
        case library.ClauseOr(several) | library.ClauseAnd(several):
            for one in several:
                yield from _names(one)
        case library.ClauseRegex():
            return
        case library.ClauseStartsWith(text):
            yield from (text, f"{text}-zzz")
        case library.ClauseContains(text):
            yield from (text, f"x-{text}-zzz")
        case library.ClauseEndsWith(text):
            yield from (text, f"x-{text}")
        case library.ClauseEquals(text):
            yield from (text, text.upper())


def _expected(listed: str, model: str, usage: Usage, at: datetime) -> float | None:
    """What the library says; None where its price is not one of tokens alone."""
    provider, found = snapshot().find_provider_model(model, None, listed, None)
    price = found.get_prices(at)
    if found.id.endswith(":free"):
        return 0.0
    if price.input_mtok is None or price.output_mtok is None or price.requests_kcount is not None:
        return None
    read, written = usage.cache_read or 0, usage.cache_write or 0
    counted = library.Usage(
        input_tokens=(usage.input or 0) + read + written,
        output_tokens=usage.output or 0,
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_reasoning_tokens=usage.thinking or 0,
    )
    return float(found.calc_price(counted, provider, genai_request_timestamp=at).total_price)


def _at(listed: str) -> Provider:
    """A provider at an address whose prices are these."""
    host = price_lists().lists[listed].hosts[0].replace("*", "somewhere")
    return Provider(name="any", dialect="openai_chat", base_url=f"https://{host}/v1")


def _varies(model: library.ModelInfo) -> bool:
    if isinstance(model.prices, list):
        return True
    return any(isinstance(price, library.TieredPrices) for price in model.prices.__dict__.values())


@pytest.mark.parametrize("listed", sorted(price_lists().lists))
def test_every_model_costs_what_the_library_says(listed: str) -> None:
    provider, models = _at(listed), next(one.models for one in snapshot().providers if one.id == listed)
    sums = 0
    for model in models:
        times, usages = (TIMES, USAGES) if _varies(model) else (TIMES[:1], USAGES[:1])
        for name in dict.fromkeys([model.id, *_names(model.match)]):
            try:
                snapshot().find_provider_model(name, None, listed, None)
            except LookupError:
                continue  # its id is not always a name of it
            for at in times:
                for usage in usages:
                    expected = _expected(listed, name, usage, at)
                    held = cost(provider, name, usage, at.timestamp())
                    says = f"{listed} {name} {usage} {at}"
                    assert held.source == ("" if expected is None else "list"), says
                    assert held.usd == (None if expected is None else pytest.approx(expected, rel=1e-12)), says
                    sums += 1
    assert sums >= len(models)


def test_the_file_is_what_the_locked_library_says() -> None:
    made = subprocess.run(
        [sys.executable, "scripts/prices.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stdout + made.stderr


def test_the_file_is_small_and_says_where_it_is_from() -> None:
    assert FILE.stat().st_size < 150_000
    prices = price_lists()
    assert "genai-prices/" in prices.source
    assert prices.date.year >= 2026
    assert {other for one in prices.lists.values() for other in one.others} <= prices.lists.keys()


def test_the_file_is_not_read_before_it_is_needed() -> None:
    look = "import claude_code_proxy.app, claude_code_proxy.prices as p; print(p.price_lists.cache_info().currsize)"
    said = subprocess.run([sys.executable, "-c", look], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "0"


# -- whose prices


LISTED = {
    "openai": "openai",
    "openrouter": "openrouter",
    "anthropic": "anthropic",
    "gemini": "google",
    "vertex": "google",
    "vertex-anthropic": "google",
    "bedrock": "aws",
    "bedrock-runtime": "aws",
    "azure": "azure",
    "azure-anthropic": "azure",
    "deepseek": "deepseek",
    "moonshot": "moonshotai",
    "zai": "zai",
    "minimax": "minimax",
    "mistral": "mistral",
    "xai": "x-ai",
    "groq": "groq",
    "together": "together",
    "fireworks": "fireworks",
    "cerebras": "cerebras",
    "novita": "novita",
    "ovh": "ovhcloud",
    "baseten": "baseten",
}
LOCAL = ["ollama", "llamacpp", "lmstudio", "vllm", "sglang"]


@pytest.mark.parametrize("name", PROVIDERS)
def test_each_provider_has_its_list_or_is_local_or_unknown(name: str) -> None:
    listed = LISTED.get(name)
    assert PROVIDERS[name].local == (name in LOCAL)
    if listed is None:
        known = next(row.patterns[0] for row in price_lists().lists["openai"].models if row.rates)
        assert asked(name, known) == (Cost(0.0, "list") if name in LOCAL else UNKNOWN)
        return
    names = [row.patterns[0].strip("*") for row in price_lists().lists[listed].models if row.rates]
    assert any(asked(name, model).source == "list" for model in names)


@pytest.mark.parametrize(
    ("provider", "model", "like"),
    [
        ("anthropic", "claude-opus-5-5-20261010", "claude-opus-5-5"),
        ("anthropic", "Claude-Opus-5-5", "claude-opus-5-5"),
        ("openai", "gpt-4.1-2025-04-14", "gpt-4.1"),
        ("openai", "gpt-4.1-20250414", "gpt-4.1"),
        ("gemini", "models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("vertex", "google/gemini-2.5-pro", "gemini-2.5-pro"),
        ("vertex", "publishers/google/models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("vertex", "gemini-2.5-pro@001", "gemini-2.5-pro"),
        ("vertex-anthropic", "claude-opus-5-5@20261010", "claude-opus-5-5"),
        ("vertex-anthropic", "claude-opus-5-5@default", "claude-opus-5-5"),
        ("bedrock", "claude-opus-5-5", "anthropic.claude-opus-5-5"),
        ("bedrock-runtime", "us.anthropic.claude-opus-5-5-v1:0", "anthropic.claude-opus-5-5"),
        ("bedrock-runtime", "ca.anthropic.claude-opus-5-5-v1:0", "anthropic.claude-opus-5-5"),
        ("bedrock-runtime", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic.claude-sonnet-4-5-20250929"),
        (
            "bedrock-runtime",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-5-5-v1:0",
            "anthropic.claude-opus-5-5",
        ),
        ("azure", "gpt-4.1-2025-04-14", "gpt-4.1"),
        ("openrouter", "anthropic/claude-opus-4.5", "anthropic/claude-4.5-opus-20251124"),
    ],
)
def test_a_model_is_found_under_every_name_it_is_given(provider: str, model: str, like: str) -> None:
    assert asked(provider, model).source == "list"
    assert asked(provider, model) == asked(provider, like)


@pytest.mark.parametrize(
    ("provider", "model", "usd"),
    [  # a million tokens each of input, output, cache read, cache write; the pages of the providers, November 2026
        ("anthropic", "claude-sonnet-4-0", (3, 15, 0.3, 3.75)),
        ("anthropic", "claude-haiku-4-5", (1, 5, 0.1, 1.25)),
        ("openai", "gpt-4.1", (2, 8, 0.5, 2)),
        ("openai", "gpt-4o", (2.5, 10, 1.25, 2.5)),
    ],
)
def test_prices_that_everybody_knows(provider: str, model: str, usd: tuple[float, ...]) -> None:
    fields = ("input", "output", "cache_read", "cache_write")
    usages = [Usage(**{"input": 0, "output": 0, field: 100_000}) for field in fields]
    assert [asked(provider, model, usage).usd for usage in usages] == [pytest.approx(one / 10) for one in usd]


def test_bedrock_asks_more_in_a_region_than_anywhere() -> None:
    regional, anywhere = (
        asked("bedrock-runtime", f"{where}.anthropic.claude-opus-5-5-v1:0").usd for where in ("us", "global")
    )
    assert regional is not None
    assert anywhere is not None
    assert regional > anywhere


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "no-such-model"),
        ("openai", "ft:gpt-4.1:mine::x"),
        ("openai", "whisper-1"),
        ("openai", ""),
        ("openai", "/"),
        ("openai", "*"),
        ("gemini", "gemma-3-27b-it"),
        ("openrouter", "gpt-4.1"),
        ("openrouter", "nobody/none"),
        ("nvidia", "meta/llama-3.1-8b-instruct"),
        ("kimi-coding", "kimi-k3"),
        ("github", "openai/gpt-4.1"),
        ("openai-compatible", "gpt-4.1"),
        ("ollama", "gpt-oss:120b-cloud"),
        ("ollama", "GLM-5:cloud"),
    ],
)
def test_what_is_not_known_is_unknown_and_never_nothing(provider: str, model: str) -> None:
    assert asked(provider, model) == UNKNOWN
    assert UNKNOWN.usd is None


@pytest.mark.parametrize("name", LOCAL)
@pytest.mark.parametrize("usage", [SMALL, Usage()], ids=["counted", "not counted"])
def test_what_runs_here_costs_nothing(name: str, usage: Usage) -> None:
    assert asked(name, "qwen3:8b", usage) == Cost(0.0, "list")


@pytest.mark.parametrize(
    ("name", "variable", "address", "expected"),
    [
        ("ollama", "OLLAMA_API_BASE", "http://192.168.1.5:11434", Cost(0.0, "list")),
        ("ollama", "OLLAMA_API_BASE", "https://ollama.example.com", UNKNOWN),
        ("vllm", "VLLM_API_BASE", "https://gpu.example.com", UNKNOWN),
        ("openai", "OPENAI_BASE_URL", "http://localhost:1234/v1", UNKNOWN),
        ("openai", "OPENAI_BASE_URL", "https://gateway.example.com/v1", UNKNOWN),
        ("openai", "OPENAI_BASE_URL", "https://api.openai.com.example.com/v1", UNKNOWN),
        ("openai", "OPENAI_BASE_URL", "https://mine.openai.azure.com/openai/v1", asked("azure", "gpt-4.1")),
        ("openai", "OPENAI_BASE_URL", "https://api.openai.com/v1/", asked("openai", "gpt-4.1")),
    ],
)
def test_the_address_tells_whose_prices_hold(name: str, variable: str, address: str, expected: Cost) -> None:
    provider = load_providers({variable: address})[name]
    assert cost(provider, "gpt-4.1", SMALL, NOW.timestamp()) == expected


def test_a_provider_of_the_users_own_is_priced_by_its_address_and_free_if_it_says_so() -> None:
    row = {"dialect": "openai_chat", "base_url": "https://api.openai.com/v1"}
    mine = load_providers({}, {"mine": row, "box": {**row, "base_url": "http://box.lan:9000/v1", "local": True}})
    assert cost(mine["mine"], "gpt-4.1", SMALL, NOW.timestamp()) == asked("openai", "gpt-4.1")
    assert cost(mine["box"], "gpt-4.1", SMALL, NOW.timestamp()) == Cost(0.0, "list")


# -- who counts


OWN = {"openai:gpt-4.1": Price(input=10, output=20, cache_read=1, cache_write=2), "zai:*": Price(input=0, output=0)}


def test_the_users_price_comes_before_the_providers_word_and_that_before_the_list() -> None:
    told = msgspec.structs.replace(SMALL, cost=0.5)
    mine = asked("openai", "gpt-4.1", told, OWN)
    assert mine.usd == pytest.approx((1234 * 10 + 567 * 20 + 89 * 1 + 10 * 2) / 1e6)
    assert mine.source == "user"
    assert asked("openai", "gpt-4.1", told) == Cost(0.5, "provider")
    assert asked("openai", "gpt-4o", told, OWN) == Cost(0.5, "provider")
    assert asked("openai", "gpt-4.1").source == "list"
    assert asked("openai", "nobody", told) == Cost(0.5, "provider")
    assert asked("openai", "gpt-4.1", Usage(cost=0.0)) == Cost(0.0, "provider")


def test_a_price_of_all_models_holds_where_the_model_has_none() -> None:
    both = {**OWN, "openai:*": Price(input=1, output=1)}
    assert asked("zai", "glm-5.3", Usage(), OWN) == Cost(0.0, "user")
    assert asked("openai", "gpt-4.1", Usage(1_000_000), both).usd == 10
    assert asked("openai", "nobody", Usage(1_000_000), both).usd == 1


def test_cached_tokens_and_thinking_cost_what_others_do_unless_it_is_said() -> None:
    usage = Usage(100, 100, 10, 20, 30)
    for more, usd in [({}, 430), ({"cache_read": 0.0}, 420), ({"cache_write": 0.0}, 410), ({"thinking": 0.0}, 340)]:
        price = msgspec.structs.replace(Price(input=1, output=3), **more)
        assert asked("openai", "x", usage, {"openai:x": price}).usd == pytest.approx(usd / 1e6)


@pytest.mark.parametrize("bad", [-0.1, float("nan"), float("inf"), float("-inf")])
def test_a_word_that_is_no_sum_is_not_taken(bad: float) -> None:
    assert asked("openai", "gpt-4.1", msgspec.structs.replace(SMALL, cost=bad)) == asked("openai", "gpt-4.1")


@pytest.mark.parametrize(
    ("usage", "known"),
    [
        (Usage(), False),
        (Usage(cache_read=5, cache_write=5, thinking=5), False),
        (Usage(input=5), True),
        (Usage(output=5), True),
        (Usage(0, 0), True),
    ],
)
def test_without_a_count_there_is_no_cost(usage: Usage, *, known: bool) -> None:
    assert (asked("openai", "gpt-4.1", usage).usd is not None) == known


def test_more_than_the_tier_is_dearer_altogether_and_the_whole_prompt_counts() -> None:
    at, over = (asked("anthropic", "claude-haiku-5-5", Usage(50_000, 0, 40_000, 10_000 + n)).usd for n in (0, 1))
    assert at is not None
    assert over is not None
    assert over > at * 4.9


# -- always


_COUNTS = st.none() | st.integers(-10, 10**7) | st.integers()
_USAGES = st.builds(Usage, _COUNTS, _COUNTS, _COUNTS, _COUNTS, _COUNTS, st.none() | st.floats())
_MODELS = st.sampled_from(
    [(name, row.patterns[0].strip("*/")) for name, one in price_lists().lists.items() for row in one.models]
)
_NUMBERS = st.floats(0, 1e6)
_PRICES = st.builds(
    Price, input=_NUMBERS, output=_NUMBERS, cache_read=st.none() | _NUMBERS, thinking=st.none() | _NUMBERS
)


@given(_MODELS, _USAGES, st.floats(0, 4e9), st.none() | _PRICES)
def test_a_cost_is_a_number_that_is_not_negative_or_unknown(
    model: tuple[str, str], usage: Usage, at: float, own: Price | None
) -> None:
    held = cost(_at(model[0]), model[1], usage, at, {f"any:{model[1]}": own} if own else {})
    assert (held.usd is None) == (held.source == "")
    assert held.usd is None or (isfinite(held.usd) and held.usd >= 0)


@given(_MODELS, st.tuples(*[st.integers(0, 10**6)] * 4), st.sampled_from(range(4)), st.integers(0, 10**6))
def test_more_tokens_never_cost_less(model: tuple[str, str], counts: tuple[int, ...], which: int, more: int) -> None:
    larger = [count + more * (at == which) for at, count in enumerate(counts)]
    less, most = (cost(_at(model[0]), model[1], Usage(*each), NOW.timestamp()).usd for each in (counts, larger))
    assert (less is None) == (most is None)
    assert less is None or most is None or less <= most


@given(st.text(max_size=60))
def test_any_name_may_be_asked_for(name: str) -> None:
    assert asked("openrouter", name).source in {"", "list"}
    assert asked("bedrock-runtime", name).source in {"", "list"}


# -- config.toml


def _configured(tmp_path: Path, config: str) -> Any:
    path = tmp_path / "config.toml"
    path.write_text(config, "utf-8")
    return load_settings({"CLAUDE_CODE_PROXY_CONFIG": str(path)})


def test_prices_are_read_from_the_users_config(tmp_path: Path) -> None:
    settings = _configured(
        tmp_path,
        """
        [prices."google:gemini-x"]
        input = 1
        output = 4.5
        cache_read = 0.1
        currency = "USD"
        [prices."kimi-coding:*"]
        input = 0
        output = 0
        """,
    )
    assert settings.prices == {
        "gemini:gemini-x": Price(input=1.0, output=4.5, cache_read=0.1),
        "kimi-coding:*": Price(input=0.0, output=0.0),
    }
    asks = settings.providers["gemini"], "gemini-x", Usage(1_000_000, 2_000_000), NOW.timestamp()
    assert cost(*asks, settings.prices) == Cost(10.0, "user")


@pytest.mark.parametrize(
    "table",
    [
        '"openai:x" = { input = 1 }',
        '"openai:x" = { output = 1 }',
        '"openai:x" = { input = -1, output = 1 }',
        '"openai:x" = { input = nan, output = 1 }',
        '"openai:x" = { input = inf, output = 1 }',
        '"openai:x" = { input = "1", output = 1 }',
        '"openai:x" = { input = 1, output = 1, cache_red = 1 }',
        '"openai:x" = { input = 1, output = 1, currency = "EUR" }',
        '"openai:" = { input = 1, output = 1 }',
        '"openai" = { input = 1, output = 1 }',
        '"nobody:x" = { input = 1, output = 1 }',
        '"openai:x" = 3',
    ],
)
def test_prices_that_cannot_be_used_are_told(tmp_path: Path, table: str) -> None:
    with pytest.raises(SettingsError, match=r"\[prices\]"):
        _configured(tmp_path, f"[prices]\n{table}")


def test_the_library_is_asked_in_exact_numbers() -> None:
    assert _expected("openai", "gpt-4.1", Usage(1, 1), NOW) == float((Decimal(2) + Decimal(8)) / 1_000_000)
