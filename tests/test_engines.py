"""Search engines: how each is asked, and what its answer says."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_code_proxy.dialects.search import Search
from claude_code_proxy.engines import asked, engines, hits_in, key_header
from claude_code_proxy.settings import SettingsError, load_settings

LLAMAS = Search("llamas & co", "seed")
SOME = Search("llamas", "seed", ("a.test", "www.b.test/x"), ("c.test",))


def told(name: str, search: Search) -> dict[str, Any]:
    """The fields that an engine is sent."""
    request = asked(engines()[name], search, "http://own.test/")
    if request.body is not None:
        told: dict[str, Any] = json.loads(request.body)
        return told
    return {key: value[0] for key, value in parse_qs(urlsplit(request.url).query).items()}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("brave", {"q": "llamas & co", "count": "10"}),
        ("tavily", {"query": "llamas & co", "max_results": 10}),
        ("exa", {"query": "llamas & co", "numResults": 10, "contents": {"highlights": True}}),
        ("searxng", {"q": "llamas & co", "format": "json"}),
    ],
)
def test_what_an_engine_is_asked(name: str, expected: dict[str, Any]) -> None:
    assert told(name, LLAMAS) == expected


def test_domains_are_a_field_or_words_of_the_query() -> None:
    assert told("tavily", SOME)["include_domains"] == ["a.test", "www.b.test/x"]
    assert told("exa", SOME)["excludeDomains"] == ["c.test"]
    assert told("brave", SOME)["q"] == "llamas (site:a.test OR site:www.b.test/x) -site:c.test"


def test_where_an_engine_is() -> None:
    places = {name: asked(engine, LLAMAS, "").url.partition("?")[0] for name, engine in engines().items()}
    assert places["brave"] == "https://api.search.brave.com/res/v1/web/search"
    assert asked(engines()["searxng"], LLAMAS, "http://localhost:8888/").url.startswith("http://localhost:8888/search?")


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("brave", {"x-subscription-token": "k"}),
        ("tavily", {"authorization": "Bearer k"}),
        ("exa", {"x-api-key": "k"}),
        ("searxng", {}),
    ],
)
def test_how_the_key_is_sent(name: str, header: dict[str, str]) -> None:
    assert key_header(engines()[name], "k") == header


ANSWERS = [
    (
        "brave",
        {"web": {"results": [{"url": "http://a.test/", "title": "A", "description": "d", "extra_snippets": ["e"]}]}},
        ("A", "d\ne", ""),
    ),
    ("tavily", {"results": [{"url": "http://a.test/", "title": "A", "content": "d"}]}, ("A", "d", "")),
    (
        "exa",
        {"results": [{"url": "http://a.test/", "title": None, "highlights": ["d"], "publishedDate": "2026-01-02"}]},
        ("http://a.test/", "d", "2026-01-02"),
    ),
    ("searxng", {"results": [{"url": "http://a.test/", "title": "A", "content": None}]}, ("A", "", "")),
]


@pytest.mark.parametrize(("name", "answer", "expected"), ANSWERS)
def test_what_an_answer_says(name: str, answer: Any, expected: tuple[str, str, str]) -> None:
    hits = hits_in(engines()[name], json.dumps(answer).encode(), LLAMAS)
    assert hits is not None
    assert [(hit.url, hit.title, hit.text, hit.age) for hit in hits] == [("http://a.test/", *expected)]


def pages(*urls: str) -> bytes:
    return json.dumps({"results": [{"url": url, "title": url} for url in urls]}).encode()


def found(body: bytes, search: Search = LLAMAS) -> list[str] | None:
    hits = hits_in(engines()["tavily"], body, search)
    return None if hits is None else [hit.url for hit in hits]


def test_only_pages_of_the_web_from_domains_that_are_allowed() -> None:
    urls = [
        "https://a.test/1",
        "https://x.b.test/",
        "https://nota.test/",
        "https://c.test",
        "ftp://a.test",
        "http://[x",
    ]
    assert found(pages(*urls), SOME) == urls[:2]
    assert found(pages(*urls), LLAMAS) == urls[:4]


def test_a_page_is_told_once_and_ten_at_most() -> None:
    assert found(pages("http://a.test", "http://a.test")) == ["http://a.test"]
    assert len(found(pages(*(f"http://a.test/{n}" for n in range(30)))) or ()) == 10


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"5"])
def test_what_is_no_answer(body: bytes) -> None:
    assert found(body) is None


@pytest.mark.parametrize(
    "body", [b"{}", b'{"results":null}', b'{"results":[5,{},{"url":7}]}', b'{"web":{"results":[]}}']
)
def test_an_answer_without_pages(body: bytes) -> None:
    assert found(body) == []


_junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["url", "title", "content"]), inner),
)


@given(_junk)
def test_nothing_an_engine_answers_breaks_the_reader(held: Any) -> None:
    hits = found(json.dumps({"results": held}).encode())
    assert hits is not None
    assert all(url.startswith(("http://", "https://")) for url in hits)


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"WEB_SEARCH": "altavista"}, "WEB_SEARCH must be one of brave"),
        ({"WEB_SEARCH": "brave"}, "WEB_SEARCH_API_KEY must be set"),
        ({"WEB_SEARCH": "searxng"}, "WEB_SEARCH_BASE_URL must be set"),
        ({"WEB_SEARCH_BASE_URL": "localhost"}, "WEB_SEARCH_BASE_URL must be an http"),
    ],
)
def test_settings_that_cannot_be(env: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load_settings(env)


def test_the_key_is_not_shown() -> None:
    assert "secret" not in repr(load_settings({"WEB_SEARCH": "Brave", "WEB_SEARCH_API_KEY": "secret"}))
