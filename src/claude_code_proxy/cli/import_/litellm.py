"""The config.yaml of LiteLLM's proxy."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from claude_code_proxy.cli.ending import CommandError
from claude_code_proxy.cli.import_.made import Made, UnusableError, formats, rows_of, table_of, text_of
from claude_code_proxy.cli.import_.places import Places, variable_of
from claude_code_proxy.tables import TIERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from claude_code_proxy.cli.import_.made import Prefix

_MISSING: Final = """\
LiteLLM's files are YAML, which needs one more package:
  uv run --extra import claude-code-proxy import FILE
or, where it is installed with pip: pip install pyyaml"""

_WAYS: Final = ("converse/", "invoke/", "responses/")
"""What LiteLLM writes between prefix and name to say how a model is asked."""

_CLAUDE: Final = "claude-sonnet-5"
"""A name that a pattern for Claude's models matches."""

_SECTIONS: Final = ("litellm_settings", "router_settings", "general_settings")


def made_of(text: str, environ: Mapping[str, str]) -> Made:
    """What the file becomes. `environ` holds the variables that it may refer to.

    Raises `UnusableError`, and `CommandError` where YAML cannot be read.
    """
    config = _loaded(text)
    if "model_list" not in config:
        raise UnusableError("it has no model_list, so it is no config of LiteLLM's proxy")
    made = Made()
    variables = {name: text_of(value) for name, value in table_of(config.get("environment_variables")).items()}
    for name, value in variables.items():
        if f"os.environ/{name}" in text and value:
            made.values[name] = value
        else:
            made.leave(f"environment_variables.{name}", "nothing in the file refers to it")
    groups = _groups(config, made, {**environ, **variables})
    _aliases(groups, made)
    _settings(config, groups, made, {**environ, **variables})
    made.leave_rest(config, {"model_list", "environment_variables", *_SECTIONS}, "litellm")
    return made


def _loaded(text: str) -> dict[str, Any]:
    try:
        import yaml
    except ImportError:
        raise CommandError(_MISSING) from None
    try:
        return table_of(yaml.safe_load(text))
    except (yaml.YAMLError, ValueError) as cause:
        raise UnusableError(f"this is no YAML: {cause}") from None


def _groups(config: dict[str, Any], made: Made, environ: Mapping[str, str]) -> dict[str, list[str]]:
    """Our targets by the names of its groups of models."""
    places = Places(made)
    groups: dict[str, list[str]] = {}
    for row in rows_of(config.get("model_list")):
        name, params, info = text_of(row.get("model_name")), table_of(row.get("litellm_params")), _info(row)
        mode = text_of(info.get("mode")) or "chat"
        if mode not in {"chat", "completion", "responses"}:
            made.leave(f"model_list {name}", f"nobody chats with it: its mode is {mode}")
            continue
        target = _target(name, params, places, made, environ)
        if not name or not target:
            continue
        if target not in groups.setdefault(name, []):
            groups[name].append(target)
        limits = {"context": info.get("max_input_tokens"), "max_output": info.get("max_output_tokens")}
        if known := {key: value for key, value in limits.items() if isinstance(value, int) and value > 0}:
            made.put("models", target, **known)
        known_params = {"model", "api_base", "base_url", "api_key", "custom_llm_provider", *formats().variables}
        made.leave_rest(params, known_params, "litellm_params", "litellm_params.")
        made.leave_rest(row, {"model_name", "litellm_params", "model_info"}, "litellm", "model_list.")
    for name, targets in groups.items():
        if len(targets) > 1:
            made.note(f"{name}: LiteLLM spreads its requests; here {targets[0]} answers, and the next if that fails.")
    return groups


def _info(row: dict[str, Any]) -> dict[str, Any]:
    return table_of(row.get("model_info"))


def _target(name: str, params: dict[str, Any], places: Places, made: Made, environ: Mapping[str, str]) -> str:
    """A model of its list as ours; empty, and said why, where there is none."""
    written = text_of(params.get("model"))
    head = text_of(params.get("custom_llm_provider"))
    prefix, slash, model = (head, "/", written.removeprefix(f"{head}/")) if head else written.partition("/")
    known = formats().litellm.get(prefix) if slash else None
    if not known:
        bare = next((to for pattern, to in formats().bare.items() if fnmatchcase(written, pattern)), "")
        if not bare:
            made.leave(f"model_list {name}", f"no provider here is known for {written!r}")
            return ""
        known, model = formats().litellm[bare], written
    for way in _WAYS:
        model = model.removeprefix(way)
    for param, variable in formats().variables.items():
        value = text_of(params.get(param))
        referred = variable_of(value)
        if referred and referred != variable:
            value = environ.get(referred, "")
            if not value:
                made.note(f"{param} is in {referred}: set {variable} to the same.")
        if value and referred != variable:
            made.values[variable] = value
    ours = known.native if known.native and "claude" in model.lower() else known.provider
    provider = _provider(name, ours, known, params, places, environ=environ, made=made)
    return f"{provider}:{model}" if provider else ""


def _provider(
    name: str,
    ours: str,
    known: Prefix,
    params: dict[str, Any],
    places: Places,
    *,
    made: Made,
    environ: Mapping[str, str],
) -> str:
    key = text_of(params.get("api_key"))
    base = text_of(params.get("api_base")) or text_of(params.get("base_url"))
    if referred := variable_of(base):
        base = environ.get(referred, "")
        if not base:
            made.leave(
                f"model_list {name}", f"its address is in {referred}, which is not set: set it, and import again"
            )
            return ""
    if base:
        called = "" if ours in {"openai", "anthropic"} else ours
        found = places.find(
            called, base, key or (f"${known.key}" if environ.get(known.key) else ""), known.server or "openai_chat"
        )
        if not found:
            made.leave(f"model_list {name}", "its api_base is no address")
        return found
    if ours == "openai-compatible":
        made.leave(f"model_list {name}", "it has no api_base")
        return ""
    return places.keyed(ours, key, known.key)


def _aliases(groups: dict[str, list[str]], made: Made) -> None:
    """Its groups are our aliases; those for Claude's names are tiers, too."""
    tiers: dict[str, str | list[str]] = {}
    for name, targets in groups.items():
        to = targets[0] if len(targets) == 1 else targets
        if "*" in name or "*" in targets[0]:
            if "*" in targets[0]:
                provider = targets[0].partition(":")[0]
                made.note(f"{name}: every model of {provider} is there as {provider}:MODEL.")
            elif fnmatchcase(_CLAUDE, name) or fnmatchcase(f"anthropic/{_CLAUDE}", name):
                tiers.setdefault("default", to)
            else:
                made.leave(f"model_list {name}", "an alias is one name; patterns are there for Claude's names only")
            continue
        if name.lower() != targets[0].lower():
            made.set(("routing", "aliases"), name, to)
        for tier in TIERS:
            if tier in name.lower():
                tiers.setdefault(tier, to)
    plain = [targets for name, targets in groups.items() if "*" not in f"{name}{targets[0]}"]
    if plain and "default" not in tiers and len(tiers) < len(TIERS):
        first = plain[0][0] if len(plain[0]) == 1 else plain[0]
        tiers["default"] = first
        made.note("Names of Claude that the file has no model for go to its first; LiteLLM would refuse them.")
    for tier, to in tiers.items():
        made.set(("routing", "tiers"), tier, to)
    lead = tiers.get("default") or next(iter(tiers.values()), "") or next((one[0] for one in groups.values()), "")
    if lead:
        made.values["PREFERRED_PROVIDER"] = (lead if isinstance(lead, str) else lead[0]).partition(":")[0]


def _settings(config: dict[str, Any], groups: dict[str, list[str]], made: Made, environ: Mapping[str, str]) -> None:
    """Fallbacks and aliases may stand in two of its sections, and mean the same."""
    sections = {name: table_of(config.get(name)) for name in _SECTIONS}
    for place, section in sections.items():
        _fallbacks(section, groups, made)
        for name, held in table_of(section.get("model_group_alias")).items():
            group = text_of(held) or text_of(table_of(held).get("model"))
            if group in groups and "*" not in group:
                made.set(
                    ("routing", "aliases"),
                    name,
                    group if group.lower() != groups[group][0].lower() else groups[group][0],
                )
            else:
                made.leave(f"{place}.model_group_alias {name}", f"the file has no model {group!r}")
        wait = text_of(section.get("request_timeout")) or text_of(section.get("timeout"))
        if wait.replace(".", "", 1).isdecimal() and 0 < float(wait) < 86_400:
            made.values["ANSWER_TIMEOUT"] = wait
        if (often := text_of(section.get("num_retries"))).isdecimal():
            made.values["UPSTREAM_RETRIES"] = often
        known = {
            "num_retries",
            "fallbacks",
            "default_fallbacks",
            "model_group_alias",
            "request_timeout",
            "timeout",
            "master_key",
        }
        made.leave_rest(section, known, "litellm", f"{place}.")
    if key := text_of(sections["general_settings"].get("master_key")):
        referred = variable_of(key)
        if value := environ.get(referred, "") if referred else key:
            made.values["PROXY_API_KEY"] = value
        else:
            made.note(f"master_key is in {referred}: set PROXY_API_KEY to the same.")


def _fallbacks(section: dict[str, Any], groups: dict[str, list[str]], made: Made) -> None:
    for row in rows_of(section.get("fallbacks")):
        for name, wishes in row.items():
            _fallback(str(name), wishes, groups, made)
    held = made.tables.get(("routing", "fallbacks"), {})
    others = section.get("default_fallbacks")
    if not isinstance(others, list):
        return
    for name, targets in groups.items():
        if "*" not in name and targets[0] not in held:
            _fallback(name, [one for one in others if one != name], groups, made)


def _fallback(name: str, wishes: object, groups: dict[str, list[str]], made: Made) -> None:
    asked: Iterable[object] = wishes if isinstance(wishes, list) else [wishes]
    found = [target for wish in asked for target in groups.get(text_of(wish), [])]
    if name == "*":
        for each in groups:
            _fallback(each, wishes, groups, made)
    elif name not in groups or "*" in name:
        made.leave(f"fallbacks {name}", "the file has no such model")
    elif more := [target for target in dict.fromkeys(found) if target not in groups[name]]:
        made.set(("routing", "fallbacks"), groups[name][0], more)
