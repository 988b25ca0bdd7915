"""Charts as SVG. A page shows them as images, in which nothing can run; their style is allowed by its hash alone."""

from __future__ import annotations

import base64
import hashlib
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import pygal
from msgspec import Struct
from msgspec.structs import replace
from pygal.style import Style

from claude_code_proxy.dashboard import shown
from claude_code_proxy.dashboard.answers import SVG, Answer
from claude_code_proxy.dashboard.asked import RANGES, since
from claude_code_proxy.ledger.series import percentile, spans, took

# pygal looks for plugins of its own in every import that follows, in a way that Python warns of.
sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)]

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from xml.etree.ElementTree import Element

    from claude_code_proxy.dashboard.asked import Range
    from claude_code_proxy.ledger.reading import Reader

Lines = dict[str, list[float | None]]

_FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
_CSS: Final = """
text { font-family: %(font)s; font-size: 11px; fill: %(text)s; stroke: none }
.background { fill: none }
.axis .line, .axis .guide.line { stroke: %(grid)s; stroke-width: 1; fill: none }
.axis.x .guide.line, .axis.x .line { opacity: 0 }
.axis.x text { text-anchor: middle }
.axis.y text { text-anchor: end }
.series .line { fill: none; stroke-width: 2; stroke-linejoin: round }
.color-0 { stroke: %(first)s; fill: %(first)s }
.color-1 { stroke: %(second)s; fill: %(second)s }
.bars rect { stroke: none }
text.no_data { font-size: 13px; text-anchor: middle }
"""
_THEMES: Final = {
    "light": {"text": "#5b5a55", "grid": "#e4e2dc", "first": "#2f6f8f", "second": "#c2622f"},
    "dark": {"text": "#a7a6ae", "grid": "#33333a", "first": "#7cc0dd", "second": "#f0966a"},
}
_ERRORS: Final = {"light": "#c2293a", "dark": "#ff7d84"}
_SHAPES: Final = {"wide": (620, 200, 6), "narrow": (320, 180, 3)}
"""Width, height, and names below the axis, for each shape."""


class Chart(Struct, frozen=True):
    """A chart: its title, what each of its lines is, how its values are told, and where they come from."""

    title: str
    lines: tuple[str, ...]
    told: Callable[[float], str]
    read: Callable[[Reader, Range], Lines]
    kind: str = "line"
    by_day: bool = False


def answer(name: str, reader: Reader, span: Range, query: Mapping[str, str]) -> Answer | None:
    """The chart of this name; None if there is none."""
    if not (chart := CHARTS.get(name)):
        return None
    theme = query.get("theme", "light")
    span = over(chart, span)
    css = _css(name, theme if theme in _THEMES else "light")
    svg = _drawn(chart, span, chart.read(reader, span), css, _SHAPES.get(query.get("shape", ""), _SHAPES["wide"]))
    mark = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{mark}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
    return Answer(svg, media=SVG, headers=((b"content-security-policy", policy.encode()),))


def over(chart: Chart, span: Range) -> Range:
    """The range that a chart shows: one by day shows a month at least."""
    days = next(one for one in RANGES if one.name == "30d")
    return days if chart.by_day and span.seconds < days.seconds else span


def _offset() -> int:
    """Seconds that this machine's clock is ahead of UTC, so that days begin at midnight."""
    ahead = datetime.now().astimezone().utcoffset()
    return int(ahead.total_seconds()) if ahead else 0


def _places(span: Range) -> list[int]:
    """Where the points of a range begin."""
    offset, now = _offset(), int(time.time())
    last = (now + offset) // span.step
    return [number * span.step - offset for number in range(last + 1 - span.seconds // span.step, last + 1)]


def _summed(reader: Reader, span: Range) -> tuple[list[int], dict[int, Any]]:
    return _places(span), {one.at: one for one in spans(reader, since(span), span.step, _offset())}


def _requests(reader: Reader, span: Range) -> Lines:
    places, found = _summed(reader, span)
    each = [found.get(at) for at in places]
    return {
        "ok": [one.requests - one.errors if one else 0 for one in each],
        "errors": [one.errors if one else 0 for one in each],
    }


def _tokens(reader: Reader, span: Range) -> Lines:
    places, found = _summed(reader, span)
    return {
        "tokens": [
            (found[at].input + found[at].cached + found[at].output) * 60 / span.step if at in found else 0
            for at in places
        ]
    }


def _whole(value: float) -> str:
    """A number of things; nothing between two of them."""
    return shown.number(value) if value == int(value) else ""


def _cached(reader: Reader, span: Range) -> Lines:
    places, found = _summed(reader, span)
    shares: list[float | None] = []
    for at in places:
        one = found.get(at)
        taken = one.input + one.cached if one else 0
        shares.append(100 * one.cached / taken if one and taken else None)
    return {"share": shares}


def _per_cent(value: float) -> str:
    return f"{value:.0f} %"


def _cost(reader: Reader, span: Range) -> Lines:
    places, found = _summed(reader, span)
    return {"cost": [found[at].cost if at in found else 0 for at in places]}


def _quantiles(name: str) -> Callable[[Reader, Range], Lines]:
    """The median and the 95th percentile of a time that requests took."""

    def read(reader: Reader, span: Range) -> Lines:
        groups: dict[int, list[float]] = {at: [] for at in _places(span)}
        offset = _offset()
        for one in took(reader, replace(since(span), state="ok")):
            at = (int(one.began) + offset) // span.step * span.step - offset
            if (value := getattr(one, name)) is not None and at in groups:
                groups[at].append(value)
        return {
            title: [percentile(values, share) for values in groups.values()]
            for title, share in (("median", 0.5), ("95 %", 0.95))
        }

    return read


CHARTS: Final = {
    "requests": Chart("Requests", ("ok", "errors"), _whole, _requests, "bar"),
    "latency": Chart("Time to the end", ("median", "95 %"), shown.seconds, _quantiles("seconds")),
    "first": Chart("Time to the first bytes", ("median", "95 %"), shown.seconds, _quantiles("first")),
    "tokens": Chart("Tokens a minute", ("tokens",), shown.tokens, _tokens, "bar"),
    "cached": Chart("Input from cache", ("share",), _per_cent, _cached),
    "cost": Chart("Cost by day", ("cost",), shown.money, _cost, "bar", by_day=True),
}


def _css(name: str, theme: str) -> str:
    colours = {**_THEMES[theme], "font": _FONT}
    if name == "requests":
        colours["second"] = _ERRORS[theme]
    return _CSS % colours


def _drawn(chart: Chart, span: Range, lines: Lines, css: str, shape: tuple[int, int, int]) -> bytes:
    width, height, names = shape
    kind = pygal.StackedBar if chart.kind == "bar" else pygal.Line
    places = _places(span)
    drawn = kind(
        style=Style(label_font_size=11, major_label_font_size=11, no_data_font_size=13, font_family=_FONT),
        **_LOOK,
        width=width,
        height=height,
        value_formatter=chart.told,
    )
    labels = [datetime.fromtimestamp(at).astimezone().strftime(span.form) for at in places]
    drawn.x_labels = labels
    drawn.x_labels_major = labels[:: -(-len(labels) // names)]
    drawn.show_y_labels = any(value for values in lines.values() for value in values)
    if drawn.show_y_labels:
        for title, values in lines.items():
            drawn.add(title, values)
    drawn.add_xml_filter(lambda root: _plain(root, css))
    svg: bytes = drawn.render()
    return svg


_LOOK: Final[dict[str, Any]] = {
    "js": [],
    "show_legend": False,
    "explicit_size": False,
    "no_prefix": True,
    "pretty_print": False,
    "margin": 6,
    "margin_right": 16,
    "spacing": 8,
    "min_scale": 2,
    "max_scale": 4,
    "include_x_axis": True,
    "show_minor_x_labels": False,
    "truncate_label": -1,
    "dots_size": 1.8,
    "no_data_text": "Nothing in this time",
    "allow_interruptions": True,
}


def _plain(root: Element, css: str) -> Element:
    """The picture without scripts, with our style alone, and without what only a script could show."""
    for parent in list(root.iter()):
        for child in list(parent):
            name = child.tag.rpartition("}")[2] if isinstance(child.tag, str) else ""
            if name in {"script", "desc", "title"} or "tooltip" in child.get("class", "").split():
                parent.remove(child)
            elif name == "style":
                child.text = css
    return root
