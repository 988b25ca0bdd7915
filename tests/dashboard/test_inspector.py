"""What is shown of a captured request: what it costs to have missed a cache, damage, and long conversations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from claude_code_proxy.dashboard import inspector
from claude_code_proxy.ledger.entry import Entry
from claude_code_proxy.ledger.inspect import Row, Section
from claude_code_proxy.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from claude_code_proxy.settings import Settings

NOW = 1_795_000_000.0


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    file = tmp_path / "config.toml"
    file.write_text('[prices]\n"openai:mine" = { input = 2.5, output = 10, cache_read = 0.25 }\n')
    monkeypatch.setenv("CLAUDE_CODE_PROXY_CONFIG", str(file))
    monkeypatch.setenv("CLAUDE_CODE_PROXY_ENV_FILE", "")
    return load_settings()


@pytest.mark.parametrize(
    ("provider", "model", "rates"),
    [
        ("openai", "mine", (2.5, 0.25)),
        ("openai", "nobody-knows-this", None),
        ("nowhere", "mine", None),
        ("", "", None),
    ],
)
def test_the_price_of_a_prompt(
    settings: Settings, provider: str, model: str, rates: tuple[float, float] | None
) -> None:
    found = inspector.prompt_rates(Entry(id="r", began=NOW, provider=provider, model=model), settings)
    assert (found and (found.input, found.cache_read)) == (rates and pytest.approx(rates))


class Damaged:
    """A ledger whose captures are none."""

    def captured(self, ident: str) -> dict[str, bytes]:
        return {"request": b"this is no captured part"}

    def rows(self, *_: Any) -> list[dict[str, Any]]:
        return []


def test_damage_is_told(settings: Settings) -> None:
    shown = inspector.sections(Entry(id="r", began=NOW), Damaged(), settings)  # type: ignore[arg-type]
    assert [section.title for section in shown] == ["What was captured of it is damaged"]


@pytest.mark.parametrize("many", [3, inspector.MOST, inspector.MOST + 7])
def test_of_very_many_blocks_the_first_and_last_are_shown(many: int) -> None:
    rows = [Row(str(number), "user", "text", 1, 1, "x") for number in range(many)]
    shown = inspector.shortened(Section("s", [("bytes", "1")], rows))
    assert len(shown.rows) == min(many, inspector.MOST)
    assert (shown.rows[0], shown.rows[-1]) == (rows[0], rows[-1])
    assert (("blocks left out in the middle", "7") in shown.facts) == (many > inspector.MOST)
