"""Tool schemas for upstreams that take a part of JSON Schema only.

Gemini refuses a whole request for one keyword it does not know, so what is left here is what it takes:
references are put in place, alternatives are spelt `anyOf`, and a constraint that has no keyword there is told
to the model in the description. What the client sent is never changed.

Sources: FunctionDeclaration and Schema in the google-genai SDK 3.4, read November 2026.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias
from urllib.parse import unquote

import msgspec
import orjson
from msgspec import Struct

from claude_code_proxy.wire.json_text import fields, items

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Schema: TypeAlias = dict[str, Any]
Form: TypeAlias = Literal["json", "openapi"]
"""`json`: a part of JSON Schema (`parametersJsonSchema`). `openapi`: Google's own `Schema` (`parameters`)."""

_DEEPEST: Final = 24
_MOST_NODES: Final = 4000
"""References to references can make a short schema endless; what is beyond is cut to "anything"."""


class _Taken(Struct, frozen=True):
    """The keywords that a form takes as they are (in a stable order, for prompt caches), and the formats it knows."""

    plain: tuple[str, ...]
    formats: frozenset[str]


_COMMON: Final = ("minItems", "maxItems", "minimum", "maximum")
_NUMBERS: Final = frozenset({"float", "double", "int32", "int64"})
_FORMS: Final[dict[str, _Taken]] = {
    "json": _Taken(_COMMON, frozenset({"date-time", "date", "time"})),
    "openapi": _Taken(
        (*_COMMON, "minLength", "maxLength", "pattern", "minProperties", "maxProperties"), _NUMBERS | {"date-time"}
    ),
}

_TOLD: Final = (
    "default",
    "pattern",
    "minLength",
    "maxLength",
    "minProperties",
    "maxProperties",
    "multipleOf",
    "uniqueItems",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "format",
)
"""Constraints worth a word in the description where the form has no keyword for them."""

_LARGEST_KEPT: Final = 16 << 10
"""Bytes of a schema, of which what was made is kept."""

_MOST_COUNTED: Final = 2**31 - 1
_LONGEST_WORD: Final = 200
_TYPES: Final = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})
_ANNOTATIONS: Final = frozenset({"title", "description", "$schema", "$id", "$comment", "$defs", "definitions"})
_SHAPES: Final = frozenset({"type", "properties", "items", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"})


def trimmed(schema: Mapping[str, Any], form: Form) -> Schema:
    """The schema of a tool's input as `form` takes it; empty if the tool takes no arguments. Not to be changed.

    Its root is always an object with properties. A session offers the same tools with each of its requests, so what was
    made of a schema is kept.
    """
    said = msgspec.json.encode(schema)
    return _kept(said, form) if len(said) <= _LARGEST_KEPT else _made(schema, form)


@lru_cache(maxsize=1024)
def _kept(schema: bytes, form: Form) -> Schema:
    return _made(msgspec.json.decode(schema), form)


def _made(schema: Mapping[str, Any], form: Form) -> Schema:
    root = dict(schema)
    if root and not root.keys() & (_SHAPES | _ANNOTATIONS) and all(isinstance(one, dict) for one in root.values()):
        root = {"type": "object", "properties": root}  # the properties alone, as some MCP servers have them
    made = _Trimmer(root, form).node(root, ())
    if "properties" not in made:
        whole = [branch for branch in items(made.get("anyOf")) if fields(branch).get("properties")]
        made = _united(whole) if whole else {}
    if not made.get("properties"):
        return {}
    return {**made, "type": "OBJECT" if form == "openapi" else "object"}


def _united(branches: Iterable[Schema]) -> Schema:
    """One object that takes what any of these objects takes; only what all require is required."""
    properties: Schema = {}
    required: list[str] | None = None
    for branch in branches:
        properties = {**branch["properties"], **properties}
        mine = items(branch.get("required"))
        required = mine if required is None else [name for name in required if name in mine]
    return {"properties": properties, **({"required": required} if required else {})}


def _branches(schema: Schema) -> list[Any]:
    return [*items(schema.get("anyOf")), *items(schema.get("oneOf"))]


def _is_null(branch: object) -> bool:
    return fields(branch).get("type") == "null" or fields(branch).get("enum") == [None]


class _Trimmer:
    """One schema in one form. `root` is what references are relative to."""

    def __init__(self, root: Schema, form: Form) -> None:
        self._root, self._form, self._taken = root, form, _FORMS[form]
        self._nodes = 0

    def node(self, value: object, refs: tuple[str, ...], depth: int = 0) -> Schema:
        """A schema at any place. `refs` are the references that led here."""
        self._nodes += 1
        if depth > _DEEPEST or self._nodes > _MOST_NODES:
            return self._anything({})
        schema, refs = self._resolved(fields(value), refs)
        schema = self._merged(schema, refs)
        branches = _branches(schema)
        nullable = schema.get("nullable") is True or any(_is_null(one) for one in branches)
        others = [one for one in branches if not _is_null(one)]
        if not others:
            kinds = [kind for kind in self._kinds(schema) if kind in _TYPES]
            nullable = nullable or ("null" in kinds and len(kinds) > 1)
            kinds = [kind for kind in kinds if kind != "null"] or kinds
            if len(kinds) < 2:
                return self._plain(schema, kinds[0] if kinds else "", refs, depth, nullable=nullable)
            others = [{**_without(schema, "enum", "const", "description"), "type": kind} for kind in kinds]
            values = [_word("one of", schema["enum"])] if schema.get("enum") else []
            schema = {"description": " ".join(str(word) for word in (schema.get("description"), *values) if word)}
        return self._either(schema, others, refs, depth, nullable=nullable)

    def _either(
        self, schema: Schema, others: list[Any], refs: tuple[str, ...], depth: int, *, nullable: bool
    ) -> Schema:
        """One of several. What stands beside them holds for each: Google takes nothing beside `anyOf`."""
        shared = _without(schema, "anyOf", "oneOf", "nullable", "description")
        whole = [{**shared, **fields(one)} if one is not False else {} for one in others]
        for one, own in zip(whole, others, strict=True):
            if shared.get("properties") and fields(own).get("properties"):
                one["properties"] = {**fields(shared["properties"]), **fields(fields(own)["properties"])}
            if shared.get("required"):
                one["required"] = [*items(shared["required"]), *items(fields(own).get("required"))]
        if len(whole) == 1:
            about = {"description": schema["description"]} if schema.get("description") else {}
            return self.node({**whole[0], **about, **({"nullable": True} if nullable else {})}, refs, depth + 1)
        nodes = [self.node(one, refs, depth + 1) for one in whole]
        made = [one for node in nodes for one in (node.get("anyOf") or (node,))]  # none within another
        if words := schema.get("description"):
            made[0] = {**made[0], "description": " ".join(map(str, filter(None, (words, made[0].get("description")))))}
        if nullable:
            made = [{**one, "nullable": True} for one in made] if self._form == "openapi" else [*made, {"type": "null"}]
        return {"anyOf": [one for n, one in enumerate(made) if one not in made[:n]]}

    def _plain(self, schema: Schema, kind: str, refs: tuple[str, ...], depth: int, *, nullable: bool) -> Schema:
        """A schema of one type, or of none."""
        kind = kind or _implied(schema)
        words = [] if schema.get("description") is None else [str(schema["description"])]
        out: Schema = {name: schema[name] for name in self._taken.plain if _fits(name, schema.get(name))}
        if kind == "integer":
            _make_inclusive(schema, out)
        if isinstance(form := schema.get("format"), str) and form in self._taken.formats:
            out["format"] = form
        self._choose(schema, kind, out, words)
        if kind == "object":
            self._object(schema, out, refs, depth)
        elif kind == "array":
            self._array(schema, out, refs, depth)
        words += self._told(schema, out)
        if words:
            out["description"] = " ".join(words)
        return self._typed(out, kind, nullable=nullable)

    def _typed(self, out: Schema, kind: str, *, nullable: bool) -> Schema:
        if self._form == "json":
            if nullable and "enum" in out:  # null is none of the values it takes there
                return {"anyOf": [{"type": kind, **out} if kind else out, {"type": "null"}]}
            typed = {"type": [kind, "null"] if nullable and kind != "null" else kind} if kind else {}
            return {**typed, **out}
        if not kind:
            return {**self._anything(out), **({"nullable": True} if nullable else {})}
        return {"type": kind.upper(), **out, **({"nullable": True} if nullable else {})}

    def _anything(self, out: Schema) -> Schema:
        """Any value at all, for which Google's own form has no word."""
        return out if self._form == "json" else {"type": "STRING", **out}

    def _choose(self, schema: Schema, kind: str, out: Schema, words: list[str]) -> None:
        """The values that are allowed: Google's own form knows such lists for texts only, and no empty text."""
        values = [schema["const"]] if "const" in schema else items(schema.get("enum"))
        chosen = [value for value in values if isinstance(value, (str, int, float)) and not isinstance(value, bool)]
        chosen = [value for n, value in enumerate(chosen) if value != "" and value not in chosen[:n]]
        plain = [value for value in values if value is not None and value != ""]
        if not chosen or not all(value in chosen for value in plain):
            if plain:
                words.append(_word("one of", values))
        elif self._form == "json" or (kind == "string" and all(isinstance(value, str) for value in chosen)):
            out["enum"] = chosen
        else:
            words.append(_word("one of", chosen))

    def _object(self, schema: Schema, out: Schema, refs: tuple[str, ...], depth: int) -> None:
        properties = fields(schema.get("properties"))
        if properties:
            out["properties"] = {str(name): self.node(one, refs, depth + 1) for name, one in properties.items()}
            required = [name for name in items(schema.get("required")) if isinstance(name, str) and name in properties]
            if required:
                out["required"] = list(dict.fromkeys(required))
        others = schema.get("additionalProperties")
        if self._form == "json" and fields(others):
            out["additionalProperties"] = self.node(others, refs, depth + 1)

    def _array(self, schema: Schema, out: Schema, refs: tuple[str, ...], depth: int) -> None:
        held = schema.get("items")
        fixed = items(schema.get("prefixItems")) or items(held)  # a list of them is what drafts before 2020-12 had
        if fixed:
            held = {"anyOf": fixed} if len(fixed) > 1 else fixed[0]
        if fields(held) or self._form == "openapi":
            out["items"] = self.node(held, refs, depth + 1)

    def _told(self, schema: Schema, out: Schema) -> Iterator[str]:
        for name in _TOLD:
            value = schema.get(name)
            covered = name in out or (name.startswith("exclusive") and schema.get("type") == "integer")
            if value is not None and value is not False and not covered:
                yield _word(name, value)

    def _kinds(self, schema: Schema) -> list[str]:
        kind = schema.get("type")
        return [str(one).lower() for one in (kind if isinstance(kind, list) else [kind]) if isinstance(one, str)]

    def _resolved(self, schema: Schema, refs: tuple[str, ...]) -> tuple[Schema, tuple[str, ...]]:
        """The schema with what it refers to in place; a reference within itself is cut to an object."""
        while isinstance(ref := schema.get("$ref"), str):
            rest = _without(schema, "$ref")
            if ref in refs:
                about = {name: one for name, one in fields(self._at(ref)).items() if name in {"type", "description"}}
                return {"type": "object", **about, **rest}, refs
            schema, refs = {**fields(self._at(ref)), **rest}, (*refs, ref)
        return schema, refs

    def _at(self, ref: str) -> object:
        if not ref.startswith("#"):
            return {}
        value: Any = self._root
        for part in filter(None, ref[1:].split("/")):
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            value = (
                value[int(name)]
                if isinstance(value, list) and name.isdigit() and int(name) < len(value)
                else (fields(value).get(name))
            )
        return value

    def _merged(self, schema: Schema, refs: tuple[str, ...], depth: int = 0) -> Schema:
        """The schema with those of its `allOf` laid into it."""
        parts = items(schema.get("allOf"))
        if not parts:
            return schema
        out = _without(schema, "allOf")
        for part in parts:
            self._nodes += 1
            if self._nodes > _MOST_NODES or depth > _DEEPEST:
                break
            one = self._merged(*self._resolved(fields(part), refs), depth + 1)
            properties = {**fields(one.get("properties")), **fields(out.get("properties"))}
            required = [*items(out.get("required")), *items(one.get("required"))]
            out = {**one, **out}
            if properties:
                out["properties"] = properties
            if required:
                out["required"] = required
        return out


def _implied(schema: Schema) -> str:
    """The type of a schema that does not name it."""
    if fields(schema.get("properties")) or fields(schema.get("additionalProperties")):
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    values = [schema["const"]] if "const" in schema else items(schema.get("enum"))
    if values and all(isinstance(value, str) for value in values):
        return "string"
    if values and all(type(value) in {int, float} for value in values):
        return "integer" if all(type(value) is int for value in values) else "number"
    return "boolean" if values and all(isinstance(value, bool) for value in values) else ""


def _make_inclusive(schema: Schema, out: Schema) -> None:
    """The bounds of whole numbers, told as the numbers that are still allowed."""
    for name, bound, step in (("exclusiveMinimum", "minimum", 1), ("exclusiveMaximum", "maximum", -1)):
        value, held = schema.get(name), out.get(bound)
        if isinstance(value, int) and not isinstance(value, bool):
            nearest = value + step
            out[bound] = nearest if held is None else max(held, nearest) if step > 0 else min(held, nearest)


def _fits(name: str, value: object) -> bool:
    """Whether the value of a keyword is of the type that it must be."""
    if name == "pattern":
        return isinstance(value, str)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return name in {"minimum", "maximum"} or (isinstance(value, int) and 0 <= value <= _MOST_COUNTED)


def _without(schema: Schema, *names: str) -> Schema:
    return {name: value for name, value in schema.items() if name not in names}


def _word(name: str, value: object) -> str:
    try:
        text = orjson.dumps(value).decode()
    except TypeError:
        text = str(value)
    return f"({name}: {text[:_LONGEST_WORD]})"
