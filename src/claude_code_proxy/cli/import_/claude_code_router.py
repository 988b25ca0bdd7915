"""claude-code-router's config.json."""

from __future__ import annotations

from typing import Any, Final

from claude_code_proxy.cli.import_.json5 import loads
from claude_code_proxy.cli.import_.made import Made, UnusableError, formats, rows_of, table_of, text_of
from claude_code_proxy.cli.import_.places import Places, variable_of

_KINDS: Final = {"think": "thinking", "webSearch": "web_search", "image": "image"}
_TIERS: Final = {"default": "default", "background": "haiku"}
_THRESHOLD: Final = 60_000
"""Tokens from which on its longContext is used where the file names none."""

_WAIT: Final = "API_TIMEOUT_MS"
_WAY: Final = "PROXY_URL"
_DATABASE: Final = "SQLite format 3"


def made_of(text: str) -> Made:
    """What the file becomes. Raises `UnusableError`."""
    if text.startswith(_DATABASE):
        raise UnusableError("this is the database of claude-code-router 3: its config.json of version 2 can be read")
    try:
        config = table_of(loads(text))
    except ValueError as cause:
        raise UnusableError(f"this is no JSON: {cause}") from None
    if not config.keys() & {"Providers", "providers", "Router"}:
        raise UnusableError("it has neither Providers nor Router, so it is no config of claude-code-router")
    made = Made()
    names = _providers(config, made)
    _router(table_of(config.get("Router")), names, made)
    _fallback(table_of(config.get("fallback")), table_of(config.get("Router")), names, made)
    _proxy(config, made)
    known = {"Providers", "providers", "Router", "fallback", "APIKEY", _WAIT, _WAY}
    made.leave_rest(config, known, "claude-code-router")
    return made


def _providers(config: dict[str, Any], made: Made) -> dict[str, str]:
    """Our names for its providers."""
    places, names = Places(made), {}
    for row in rows_of(config.get("Providers", config.get("providers"))):
        name, url = text_of(row.get("name")), text_of(row.get("api_base_url"))
        ours = places.find(name, url, text_of(row.get("api_key"))) if name else ""
        if not ours:
            made.leave(f"Providers.{name or '?'}", "it has no name, or no api_base_url that is an address")
            continue
        names[name] = ours
        _transformers(name, names[name], row, made)
        place = f"Providers.{name}."
        made.leave_rest(row, {"name", "api_base_url", "api_key", "models", "transformer"}, "claude-code-router", place)
    return names


def _transformers(name: str, ours: str, row: dict[str, Any], made: Made) -> None:
    """What its transformers say: the most output of models is ours, too."""
    reasons = formats().left["transformer"]
    table = table_of(row.get("transformer"))
    models = [model for model in row.get("models") or () if isinstance(model, str)]
    for place, held in table.items():
        used = held if place == "use" else table_of(held).get("use")
        for one in used if isinstance(used, list) else ():
            kind, options = (one[0], table_of(one[-1])) if isinstance(one, list) and one else (one, {})
            most = options.get("max_tokens")
            if kind == "maxtoken" and isinstance(most, int) and most > 0:
                for model in models if place == "use" else [place]:
                    made.put("models", f"{ours}:{model}", max_output=most)
            else:
                why = reasons.get(str(kind).lower(), reasons["any"])
                made.leave(f"Providers.{name}.transformer {kind}", why)


def _target(wish: object, names: dict[str, str]) -> str:
    """Its `provider,model` as ours; empty for what is none, or names a provider that is not there."""
    provider, comma, model = text_of(wish).partition(",")
    ours = names.get(provider.strip())
    return f"{ours}:{model.strip()}" if comma and ours and model.strip() else ""


def _router(router: dict[str, Any], names: dict[str, str], made: Made) -> None:
    for place, wish in router.items():
        if place in {"longContextThreshold", "fallback"} or wish in ("", None):
            continue
        if place not in {*_KINDS, *_TIERS, "longContext"}:
            made.leave(f"Router.{place}", "unknown to this version")
        elif not (target := _target(wish, names)):
            made.leave(f"Router.{place}", f"{wish!r} names no provider of the file and its model")
        elif place in _TIERS:
            made.set(("routing", "tiers"), _TIERS[place], target)
        elif place in _KINDS:
            made.set(("routing", "kinds"), _KINDS[place], target)
        else:
            held = router.get("longContextThreshold")
            over = held if isinstance(held, int) and held > 0 else _THRESHOLD
            made.put("routing", "kinds", long_context={"over": over, "to": target})
    tiers = made.tables.get(("routing", "tiers"), {})
    if "default" in tiers:
        made.values["PREFERRED_PROVIDER"] = tiers["default"].partition(":")[0]
    if "thinking" in made.tables.get(("routing", "kinds"), {}):
        made.note("Router.think gets all of Claude Code's main requests, as they ask for thinking, there and here.")


def _fallback(fallback: dict[str, Any], router: dict[str, Any], names: dict[str, str], made: Made) -> None:
    """Its fallbacks by scenario, which are ours by target."""
    last = router.get("fallback")
    for place in _targets(router):
        wishes = fallback.get(place, [])
        wishes = [*(wishes if isinstance(wishes, list) else [wishes]), *([last] if last else [])]
        first = _target(router[place], names)
        found = [target for wish in wishes if (target := _target(wish, names)) and target != first]
        if first and found:
            made.set(("routing", "fallbacks"), first, list(dict.fromkeys(found)))


def _targets(router: dict[str, Any]) -> list[str]:
    return [place for place in (*_TIERS, *_KINDS, "longContext") if router.get(place)]


def _proxy(config: dict[str, Any], made: Made) -> None:
    """What it says of itself."""
    if key := text_of(config.get("APIKEY")):
        if referred := variable_of(key):
            made.note(f"APIKEY is in {referred}: set PROXY_API_KEY to the same.")
        else:
            made.values["PROXY_API_KEY"] = key
    if way := text_of(config.get(_WAY)):
        if way.startswith("http://"):
            made.values["UPSTREAM_PROXY"] = way
        else:
            made.leave(_WAY, "UPSTREAM_PROXY must begin with http://")
    wait = text_of(config.get(_WAIT))
    if wait.isdecimal() and 0 < int(wait) // 1000 < 86_400:
        made.values["ANSWER_TIMEOUT"] = str(int(wait) // 1000)
