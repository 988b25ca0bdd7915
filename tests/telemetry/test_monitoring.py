"""docs/monitoring.md and the dashboard know the metrics that there are, and no others."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from claude_code_proxy.exposition import Histogram
from claude_code_proxy.health import Health
from claude_code_proxy.http.status import breaker_states, ledger_rows
from claude_code_proxy.ledger.writer import Ledger
from claude_code_proxy.metrics import Metrics
from claude_code_proxy.telemetry import conventions

from .test_telemetry import FULL, attributes

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "monitoring.md").read_text("utf-8")
BOARD: dict[str, Any] = json.loads((DOCS / "grafana.json").read_text("utf-8"))
PANELS: list[dict[str, Any]] = BOARD["panels"]
EXPRESSIONS = [
    *(target["expr"] for panel in PANELS for target in panel["targets"]),
    *(one["expr"] for one in BOARD["annotations"]["list"] if "expr" in one),
    *(one["query"]["query"] for one in BOARD["templating"]["list"] if one["type"] == "query"),
]
OWN_WORDS = {"by", "le", "sum", "rate", "max", "changes", "histogram_quantile", "sort_desc", "label_values"}


def families() -> dict[str, Any]:
    metrics = Metrics()
    ledger = Ledger("sqlite:///none.sqlite3")
    metrics.add_source(lambda: [*breaker_states(Health()), *ledger_rows(ledger)])
    return {family.name: family for family in metrics.families()}


def rows(table: str) -> list[list[str]]:
    """The cells of the tables of the page whose first head is this."""
    found = re.findall(rf"^\| {table} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for block in found for line in block.splitlines()]


def test_the_page_tells_of_each_metric() -> None:
    told = [row for row in rows("metric") if row[0].startswith("`claude_code_proxy")]
    real = [
        [f"`{family.name}`", family.kind, ", ".join(f"`{name}`" for name in family.labels), family.tells]
        for family in families().values()
    ]
    assert sorted(told) == sorted(real)


def test_the_page_tells_of_each_name_of_opentelemetry() -> None:
    full = replace(FULL, status=499)  # who left is told by an attribute of its own
    assert {row[0].strip("`") for row in rows("attribute")} == attributes(full).keys()
    assert {row[0].strip("`") for row in rows("metric") if row[0].startswith("`gen_ai")} == conventions.METRICS.keys()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_query_names_metrics_and_labels_that_there_are(expression: str) -> None:
    """Of a histogram its series."""
    known = families()
    names = re.findall(r"claude_code_proxy_\w+", expression)
    assert names
    series = {re.sub(r"_(bucket|sum|count)$", "", name) if name not in known else name for name in names}
    assert series <= known.keys()
    of_histograms = [name for name in names if name not in known]
    assert all(isinstance(known[re.sub(r"_(bucket|sum|count)$", "", name)], Histogram) for name in of_histograms)
    labels = {label for name in series for label in known[name].labels}
    plain = re.sub(r'"[^"]*"|\[[^\]]*\]|claude_code_proxy_\w+', " ", expression)
    assert set(re.findall(r"[a-z_]+", plain)) <= labels | OWN_WORDS


def test_the_dashboard_is_what_grafana_takes() -> None:
    assert BOARD["schemaVersion"] >= 39
    assert (BOARD["uid"], BOARD["title"], BOARD["id"]) == ("claude-code-proxy", "Claude Code Proxy", None)
    ids = [panel["id"] for panel in PANELS]
    assert len(ids) == len(set(ids))
    [source] = [one for one in BOARD["templating"]["list"] if one["type"] == "datasource"]
    assert (source["name"], source["query"]) == ("datasource", "prometheus")
    for panel in PANELS:
        assert panel.keys() >= {"type", "title", "gridPos", "fieldConfig", "options"} - (
            {"options"} if panel["type"] == "table" else set()
        )
        used = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert all(one == {"type": "prometheus", "uid": "${datasource}"} for one in used)
        refs = [target["refId"] for target in panel["targets"]]
        assert len(refs) == len(set(refs)) > 0


def test_no_panel_lies_on_another() -> None:
    places = [panel["gridPos"] for panel in PANELS]
    cells = [
        (x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_the_dashboard_shows_every_metric_that_changes() -> None:
    shown = " ".join(EXPRESSIONS)
    assert [name for name in families() if name not in shown] == ["claude_code_proxy_build_info"]


def test_the_scrape_config_is_yaml() -> None:
    [block] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    [job] = yaml.safe_load(block)["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["localhost:4000"]}]
    assert job.keys() == {"job_name", "static_configs", "authorization"}
