"""Schemas as Google takes them: the strict fake's rules are the judge."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from claude_code_proxy.dialects.schema import Form, trimmed
from upstreams.gemini_rules import JSON_SCHEMA, OPENAPI, schema_faults

FORMS: tuple[Form, ...] = ("json", "openapi")
GOOGLES: dict[str, Any] = {"json": types.JSONSchema, "openapi": types.Schema}
"""Google's own library, which knows no other fields."""

JUDGES = {"json": JSON_SCHEMA, "openapi": OPENAPI}


def both(schema: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schema in both forms, each of which Google takes; the given one is as it was."""
    before = copy.deepcopy(schema)
    made = {form: trimmed(schema, form) for form in FORMS}
    assert schema == before
    for form, one in made.items():
        assert one == {} or list(schema_faults(one, JUDGES[form], root=True)) == []
        GOOGLES[form].model_validate(one)
    return made["json"], made["openapi"]


def of(schema: Any, **others: Any) -> tuple[Any, Any]:
    """What becomes of the schema of one property."""
    in_json, in_google = both({"type": "object", "properties": {"p": schema}, **others})
    return in_json["properties"]["p"], in_google["properties"]["p"]


S, G = {"type": "string"}, {"type": "STRING"}
ROWS: list[tuple[str, Any, Any, Any]] = [
    ("text", S, S, G),
    ("keywords of no use", {**S, "$schema": "x", "$id": "y", "$comment": "z", "title": "T", "deprecated": True, "x-a": 1, "examples": [1]}, S, G),
    ("default", {**S, "default": "x"}, {**S, "description": '(default: "x")'}, {**G, "description": '(default: "x")'}),
    ("an odd format", {**S, "format": "uri", "description": "A."}, {**S, "description": 'A. (format: "uri")'}, {**G, "description": 'A. (format: "uri")'}),
    ("a known format", {**S, "format": "date-time"}, {**S, "format": "date-time"}, {**G, "format": "date-time"}),
    ("a number's format", {"type": "integer", "format": "int32"}, {"type": "integer", "description": '(format: "int32")'}, {"type": "INTEGER", "format": "int32"}),
    ("pattern", {**S, "pattern": "a+", "minLength": 1}, {**S, "description": '(pattern: "a+") (minLength: 1)'}, {**G, "pattern": "a+", "minLength": 1}),
    ("bounds", {"type": "integer", "exclusiveMinimum": 0, "maximum": 9007199254740991}, {"type": "integer", "minimum": 1, "maximum": 9007199254740991}, {"type": "INTEGER", "minimum": 1, "maximum": 9007199254740991}),
    ("both bounds", {"type": "integer", "exclusiveMinimum": 0, "minimum": 5, "exclusiveMaximum": 9, "maximum": 20}, {"type": "integer", "minimum": 5, "maximum": 8}, {"type": "INTEGER", "minimum": 5, "maximum": 8}),
    ("bounds of a number", {"type": "number", "exclusiveMinimum": 0}, {"type": "number", "description": "(exclusiveMinimum: 0)"}, {"type": "NUMBER", "description": "(exclusiveMinimum: 0)"}),
    ("bounds that are none", {**S, "minItems": "x", "maximum": True}, S, G),
    ("enum", {"enum": ["a", "b", "a", ""]}, {**S, "enum": ["a", "b"]}, {**G, "enum": ["a", "b"]}),
    ("enum of numbers", {"type": "integer", "enum": [1, 2]}, {"type": "integer", "enum": [1, 2]}, {"type": "INTEGER", "description": "(one of: [1,2])"}),
    ("enum with null", {"type": ["string", "null"], "enum": ["a", None]}, {"anyOf": [{**S, "enum": ["a"]}, {"type": "null"}]}, {**G, "enum": ["a"], "nullable": True}),
    ("const", {"const": "x"}, {**S, "enum": ["x"]}, {**G, "enum": ["x"]}),
    ("const that is true", {"const": True}, {"type": "boolean", "description": "(one of: [true])"}, {"type": "BOOLEAN", "description": "(one of: [true])"}),
    ("or null", {"type": ["string", "null"]}, {"type": ["string", "null"]}, {**G, "nullable": True}),
    ("null", {"type": "null"}, {"type": "null"}, {"type": "NULL"}),
    ("two types", {"type": ["string", "number"], "description": "D."}, {"anyOf": [{**S, "description": "D."}, {"type": "number"}]}, {"anyOf": [{**G, "description": "D."}, {"type": "NUMBER"}]}),
    ("two types or null", {"type": ["string", "number", "null"]}, {"anyOf": [S, {"type": "number"}, {"type": "null"}]}, {"anyOf": [{**G, "nullable": True}, {"type": "NUMBER", "nullable": True}]}),
    ("anyOf with null", {"anyOf": [S, {"type": "null"}], "description": "D."}, {"type": ["string", "null"], "description": "D."}, {**G, "nullable": True, "description": "D."}),
    ("oneOf", {"oneOf": [S, {"type": "integer"}]}, {"anyOf": [S, {"type": "integer"}]}, {"anyOf": [G, {"type": "INTEGER"}]}),
    ("anyOf beside a type", {"type": "array", "items": S, "anyOf": [{"minItems": 1}, {"maxItems": 3}]},
     {"anyOf": [{"type": "array", "items": S, "minItems": 1}, {"type": "array", "items": S, "maxItems": 3}]},
     {"anyOf": [{"type": "ARRAY", "items": G, "minItems": 1}, {"type": "ARRAY", "items": G, "maxItems": 3}]}),
    ("allOf", {"allOf": [{"type": "object", "properties": {"a": S}, "required": ["a"]}, {"properties": {"b": S}, "required": ["b"]}]},
     {"type": "object", "properties": {"b": S, "a": S}, "required": ["a", "b"]}, {"type": "OBJECT", "properties": {"b": G, "a": G}, "required": ["a", "b"]}),
    ("a list", {"type": "array", "items": S, "minItems": 1, "uniqueItems": True}, {"type": "array", "items": S, "minItems": 1, "description": "(uniqueItems: true)"}, {"type": "ARRAY", "items": G, "minItems": 1, "description": "(uniqueItems: true)"}),
    ("a list of anything", {"type": "array"}, {"type": "array"}, {"type": "ARRAY", "items": G}),
    ("a tuple", {"type": "array", "prefixItems": [S, {"type": "integer"}]}, {"type": "array", "items": {"anyOf": [S, {"type": "integer"}]}}, {"type": "ARRAY", "items": {"anyOf": [G, {"type": "INTEGER"}]}}),
    ("a tuple of old", {"type": "array", "items": [S]}, {"type": "array", "items": S}, {"type": "ARRAY", "items": G}),
    ("a map", {"type": "object", "additionalProperties": {"type": "integer"}}, {"type": "object", "additionalProperties": {"type": "integer"}}, {"type": "OBJECT"}),
    ("a closed object", {"type": "object", "properties": {"a": S}, "additionalProperties": False}, {"type": "object", "properties": {"a": S}}, {"type": "OBJECT", "properties": {"a": G}}),
    ("names that are keywords", {"type": "object", "properties": {"title": S, "format": S, "default": S, "$ref": S}, "required": ["title", "gone", 7]},
     {"type": "object", "properties": {"title": S, "format": S, "default": S, "$ref": S}, "required": ["title"]},
     {"type": "OBJECT", "properties": {"title": G, "format": G, "default": G, "$ref": G}, "required": ["title"]}),
    ("required as a word", {**S, "required": True}, S, G),
    ("anything", {}, {}, G),
    ("true", True, {}, G),
    ("false", False, {}, G),
    ("no schema at all", "string", {}, G),
    ("an unknown type", {"type": "any"}, {}, G),
    ("types in capitals", {"type": "STRING"}, S, G),
    ("if, then, else", {**S, "if": {"minLength": 1}, "then": {}, "else": {}, "not": {}, "contains": {}, "dependentRequired": {}, "patternProperties": {}}, S, G),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "in_json", "in_google"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_what_becomes_of_a_schema(schema: Any, in_json: Any, in_google: Any) -> None:
    assert of(schema) == (in_json, in_google)


def test_references_are_put_in_place() -> None:
    defs = {"A": {"type": "object", "properties": {"b": {"$ref": "#/$defs/B~1x"}}}, "B/x": {**S, "description": "B."}}
    made, _ = of({"$ref": "#/$defs/A", "description": "Mine."}, **{"$defs": defs})
    assert made == {"type": "object", "properties": {"b": {**S, "description": "B."}}, "description": "Mine."}
    made, _ = of({"$ref": "#/definitions/A"}, definitions={"A": S})
    assert made == S
    for nowhere in ("#/$defs/none", "https://elsewhere.test/x", "#", "x", ""):
        both({"type": "object", "properties": {"p": {"$ref": nowhere}, "q": S}})


def test_a_schema_within_itself_ends() -> None:
    tree = {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/T"}}, "name": S}}
    made, google = of({"$ref": "#/$defs/T"}, **{"$defs": {"T": tree}})
    assert made == {"type": "object", "properties": {"kids": {"type": "array", "items": {"type": "object"}}, "name": S}}
    assert google["properties"]["kids"] == {"type": "ARRAY", "items": {"type": "OBJECT"}}
    both({"type": "object", "properties": {"p": {"$ref": "#"}}})
    both(
        {
            "type": "object",
            "properties": {"p": {"$ref": "#/$defs/A"}},
            "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}},
        }
    )
    both(
        {
            "type": "object",
            "properties": {"p": {"$ref": "#/$defs/A"}},
            "$defs": {"A": {"allOf": [{"$ref": "#/$defs/B"}]}, "B": {"allOf": [{"$ref": "#/$defs/A"}]}},
        }
    )
    both(
        {
            "type": "object",
            "properties": {"p": {"$ref": "#/$defs/A"}},
            "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}, S]}},
        }
    )


def test_references_that_multiply_are_cut() -> None:
    defs: dict[str, Any] = {
        f"A{n}": {"type": "object", "properties": {k: {"$ref": f"#/$defs/A{n + 1}"} for k in "abcd"}} for n in range(20)
    }
    made, _ = both({"type": "object", "properties": {"p": {"$ref": "#/$defs/A0"}}, "$defs": {**defs, "A20": S}})
    assert len(json.dumps(made)) < 1_000_000
    twice: dict[str, Any] = {f"A{n}": {"allOf": [{"$ref": f"#/$defs/A{n + 1}"}] * 4} for n in range(20)}
    both({"type": "object", "properties": {"p": {"$ref": "#/$defs/A0"}}, "$defs": {**twice, "A20": S}})


def test_deep_schemas_are_cut() -> None:
    deep: Any = S
    for _ in range(200):
        deep = {"type": "array", "items": deep}
    alike: Any = {"type": "object", "properties": {"a": S}}
    for _ in range(200):
        alike = {"allOf": [alike]}
    for made in both({"type": "object", "properties": {"p": deep, "q": alike}}):
        assert made["properties"].keys() >= {"p"}
        assert 10 < json.dumps(made).count("{") < 50


ROOTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"type": "object"}, {}),
    ({"type": "object", "properties": {}}, {}),
    ({"type": "string"}, {}),
    ({"properties": {"a": S}}, {"type": "object", "properties": {"a": S}}),
    ({"a": S, "b": {"description": "x"}}, {"type": "object", "properties": {"a": S, "b": {"description": "x"}}}),
    ({"type": "object", "properties": {"a": S, "b": S}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"type": "object", "properties": {"a": S, "b": S}}),
    ({"oneOf": [{"type": "object", "properties": {"a": S, "c": S}, "required": ["a", "c"]}, {"type": "object", "properties": {"b": S, "c": S}, "required": ["b", "c"]}]},
     {"type": "object", "properties": {"a": S, "b": S, "c": S}, "required": ["c"]}),
    ({"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "properties": {"a": S}}}}, {"type": "object", "properties": {"a": S}}),
    ({"type": ["object", "null"], "properties": {"a": S}}, {"type": "object", "properties": {"a": S}}),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "expected"), ROOTS)
def test_roots(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    assert both(schema)[0] == expected


_words = st.sampled_from(["a", "b", "type", "title", "properties", "$ref", "enum"])
_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "a", "date", "uri"])
)
_types = st.sampled_from(["string", "number", "integer", "boolean", "array", "object", "null", "any", "OBJECT"])
_refs = st.sampled_from(["#/$defs/a", "#/$defs/b", "#", "#/properties/a", "nowhere"])


def _keywords(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    schemas, named = st.lists(inner, max_size=3), st.dictionaries(_words, inner, max_size=3)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": _types | st.lists(_types, max_size=3), "$ref": _refs, "properties": named | _scalars, "required": st.lists(_words, max_size=3) | _scalars,
            "items": inner | schemas, "prefixItems": schemas, "anyOf": schemas | _scalars, "oneOf": schemas, "allOf": schemas, "enum": st.lists(_scalars, max_size=3) | _scalars,
            "const": _scalars, "format": _scalars, "description": _scalars, "default": _scalars, "nullable": st.booleans(), "additionalProperties": inner,
            "minimum": _scalars, "exclusiveMinimum": _scalars, "pattern": _scalars, "minItems": _scalars, "$defs": named, "propertyOrdering": st.lists(_words, max_size=2), "not": inner,
        },
    )  # fmt: skip


_schemas: st.SearchStrategy[Any] = st.recursive(_scalars | st.just({}), _keywords, max_leaves=8)


@given(
    st.fixed_dictionaries(
        {
            "properties": st.dictionaries(_words, _schemas, min_size=1, max_size=3),
            "$defs": st.dictionaries(_words, _schemas, max_size=2),
        }
    )
)
def test_whatever_a_server_describes_google_takes(schema: dict[str, Any]) -> None:
    in_json, in_google = both(schema)
    assert set(in_json["properties"]) == set(in_google["properties"]) == set(schema["properties"])


@given(_schemas.filter(lambda one: isinstance(one, dict)))
def test_any_root_is_taken(schema: dict[str, Any]) -> None:
    for made in both(schema):
        assert made == {} or made["properties"]


def test_the_text_of_a_schema_is_the_same_in_every_process() -> None:
    """Prompt caches compare text."""
    full = {"maxItems": 9, "minItems": 1, "items": {"type": "number", "maximum": 9, "minimum": 1}, "type": "array"}
    told = '{"type": "array", "minItems": 1, "maxItems": 9, "items": {"type": "number", "minimum": 1, "maximum": 9}}'
    assert json.dumps(of(full)[0]) == told
