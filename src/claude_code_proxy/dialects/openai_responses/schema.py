"""JSON schemas as OpenAI takes them. It refuses the whole request for one that it does not take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from claude_code_proxy.wire.json_text import fields, items

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOT_AT_THE_TOP: Final = frozenset({"$schema", "allOf", "anyOf", "enum", "not", "oneOf"})
"""What the schema of a function's parameters must not say of the parameters as a whole."""

_STRICT: Final = frozenset(
    {
        "$defs",
        "$ref",
        "additionalProperties",
        "anyOf",
        "const",
        "description",
        "enum",
        "items",
        "properties",
        "required",
        "title",
        "type",
    }
)
"""What a schema that is held to strictly may say (wire.md §2.4)."""


def parameters(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a function's parameters: an object with properties, whatever else it says."""
    said = {key: value for key, value in schema.items() if key not in _NOT_AT_THE_TOP}
    if "type" not in said:
        said = {"type": "object", **said}
    return said if "properties" in said else {**said, "properties": {}}


def can_be_strict(schema: Mapping[str, Any]) -> bool:
    """Whether the API would take a schema as one to be held to strictly: it refuses those that leave things open."""
    return schema.get("type") == "object" and _closed(schema)


def _closed(value: object) -> bool:
    schema = fields(value)
    parts = [*fields(schema.get("properties")).values(), *fields(schema.get("$defs")).values()]
    parts += [*items(schema.get("anyOf")), *([schema["items"]] if "items" in schema else [])]
    if schema.get("type") == "object" or "properties" in schema:
        complete = set(fields(schema.get("properties"))) == {str(name) for name in items(schema.get("required"))}
        if not complete or schema.get("additionalProperties") is not False:
            return False
    said = schema.keys() & {"$ref", "anyOf", "const", "enum", "type"}
    return bool(said) and schema.keys() <= _STRICT and all(map(_closed, parts))
