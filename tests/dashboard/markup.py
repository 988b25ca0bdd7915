"""What a browser would make of a page: its tags, what they lead to, and its texts."""

from __future__ import annotations

from html.parser import HTMLParser

_LINKS = {"href", "src", "srcset", "action", "formaction", "data", "poster", "data-live"}
_TAGS = {
    *("html", "head", "meta", "title", "link", "script", "body", "a", "header", "footer", "main", "div", "span", "nav"),
    *("ul", "ol", "li", "p", "h1", "h2", "h3", "code", "pre", "section", "figure", "figcaption", "picture", "source"),
    *("img", "table", "thead", "tbody", "tfoot", "tr", "th", "td", "time", "form", "label", "input", "select"),
    *("option", "button", "dl", "dt", "dd", "svg", "rect"),
}


class Markup(HTMLParser):
    """A page as it is read."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    @property
    def values(self) -> set[str]:
        """All texts and values of attributes."""
        return {text.strip() for text in self.texts} | {value for _, found in self.tags for value in found.values()}

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of each of these tags."""
        return [found for name, found in self.tags if name == tag]


def checked(page: bytes) -> Markup:
    """The page, in which nothing is a script or a style but the two files, and nothing leads elsewhere."""
    markup = Markup(page.decode())
    assert {tag for tag, _ in markup.tags} <= _TAGS
    assert markup.all("script") == [{"src": "/dashboard/assets/script.js", "defer": ""}]
    assert {found["rel"] for found in markup.all("link")} == {"icon", "stylesheet"}
    assert not any("http-equiv" in found for found in markup.all("meta"))
    for tag, found in markup.tags:
        assert not any(name.startswith("on") or name in {"style", "srcdoc"} for name in found), (tag, found)
        leads = {found[name] for name in _LINKS & set(found)}
        assert all(place.startswith(("/dashboard", "#main")) for place in leads), (tag, found)
    return markup
