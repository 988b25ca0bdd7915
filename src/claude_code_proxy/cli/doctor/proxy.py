"""Doctor's look at the proxy that runs: what it serves, what it met that it does not know, how well it counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from claude_code_proxy import __version__
from claude_code_proxy.cli.doctor.findings import Finding, Section
from claude_code_proxy.cli.paint import printable
from claude_code_proxy.cli.ports import holder
from claude_code_proxy.cli.running import ask, greeting

if TYPE_CHECKING:
    from collections.abc import Iterator

_HERE: Final = "127.0.0.1"
_FEW: Final = 5
"""How many of a kind are told."""


def look(port: int, key: str) -> Section:
    """The section on what runs at this port. `key` is PROXY_API_KEY, or empty."""
    place = f"http://{_HERE}:{port}"
    if not greeting(_HERE, port):
        held = holder(port)
        if held.uid >= 0:
            text = f"{place} is another program: {held}"
            return _section([Finding("note", text, "Say where the proxy runs: --port.")], running=False)
        return _section([Finding("ok", f"none runs at {place}: `claude-code-proxy code` starts one")], running=False)
    status, told = ask(_HERE, port, "/status", key)
    if status in {401, 403}:
        finding = Finding("note", f"{place} wants another PROXY_API_KEY than is set here", "Set the same for both.")
        return _section([finding], running=True)
    if status != 200 or not isinstance(told, dict):
        return _section([Finding("ok", f"{place}, which tells nothing more of itself")], running=True)
    return _section(
        [*_summary(place, told), *_drift(told), *_counting(told), *_breakers(told)], running=True, told=told
    )


def _section(findings: list[Finding], *, running: bool, told: dict[str, Any] | None = None) -> Section:
    return Section("Proxy", tuple(findings), {"running": running, "status": told})


def _summary(place: str, told: dict[str, Any]) -> Iterator[Finding]:
    names = ("version", "started", "requests", "running")
    words = [f"{name} {printable(told[name])}" for name in names if isinstance(told.get(name), str | int | float)]
    yield Finding("ok", ", ".join([place, *words]))
    if (version := told.get("version")) and version != __version__:
        yield Finding("note", f"it is version {printable(version)}, and this is {__version__}", "Start it again.")


def _drift(told: dict[str, Any]) -> Iterator[Finding]:
    """What came over the wire that this version does not know."""
    for kind, names in _items(told.get("drift")):
        met = sorted(_items(names), key=lambda one: -_number(one[1], "count"))
        shown = [f"{printable(name)} ({_number(seen, 'count'):.0f}×)" for name, seen in met[:_FEW]]
        if shown:
            more = f" and {len(met) - _FEW} more" if len(met) > _FEW else ""
            text = f"not known to this version, {printable(kind)}: {', '.join(shown)}{more}"
            yield Finding("note", text, "A newer version of claude-code-proxy may know it; if not, please report it.")


def _counting(told: dict[str, Any]) -> Iterator[Finding]:
    """How far off the estimate of tokens is, by model."""
    for target, learnt in _items(told.get("calibration")):
        ratio, spread, replies = (_number(learnt, name) for name in ("ratio", "spread", "replies"))
        if replies:
            bars = f"{ratio:.2f} ± {spread:.2f} of the estimate, by {replies:.0f} replies"
            yield Finding("ok", f"tokens of {printable(target)} are {bars}")


def _breakers(told: dict[str, Any]) -> Iterator[Finding]:
    """Targets that are left out for a while, as they failed."""
    breakers = told.get("breakers")
    within = breakers.get("targets", breakers) if isinstance(breakers, dict) else breakers
    for target, held in _items(within):
        state = held.get("state") if isinstance(held, dict) else held
        if isinstance(state, str) and state != "closed":
            wait = f", tried again in {seconds:.0f} s" if (seconds := _number(held, "seconds")) else ""
            text = f"{printable(target)} failed, and its breaker is {printable(state)}{wait}"
            yield Finding("note", text, f"claude-code-proxy doctor {printable(target).partition(':')[0]}")


def _items(value: object) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


def _number(value: object, name: str) -> float:
    held = value.get(name) if isinstance(value, dict) else None
    return float(held) if isinstance(held, int | float) else 0.0
