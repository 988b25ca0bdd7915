"""The templates, all of them ours. Whatever they are given is text: it is escaped wherever it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from claude_code_proxy import __version__
from claude_code_proxy.dashboard import asked, shown
from claude_code_proxy.dashboard.answers import Answer

if TYPE_CHECKING:
    from claude_code_proxy.dashboard.sessions import Session

NAVIGATION: Final = (
    ("/dashboard", "Overview"),
    ("/dashboard/requests", "Requests"),
    ("/dashboard/sessions", "Sessions"),
    ("/dashboard/usage", "Usage"),
)
_FILTERS: Final = (
    *("number", "tokens", "size", "seconds", "money", "cost_of", "cost_of_all", "share", "cached", "when", "iso"),
    *("flow", "target", "brief", "folder", "state", "tone"),
)

_WITH_FORM: Final = (b"referrer-policy", b"same-origin")
"""For pages with a form to post: under `no-referrer` a browser would not say that the form is of this very site."""


class Pages:
    """Makes pages of templates."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=PackageLoader("claude_code_proxy.dashboard", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {name: getattr(shown, name) for name in _FILTERS}
        self._templates.globals |= {
            "NAVIGATION": NAVIGATION,
            "RANGES": asked.RANGES,
            "STATES": shown.STATES,
            "place": asked.place,
            "version": __version__,
        }

    def page(
        self,
        name: str,
        *,
        here: str = "",
        session: Session | None = None,
        status: int = 200,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        **values: Any,
    ) -> Answer:
        """The page of a template. `here` is the address that the navigation marks."""
        text = self._templates.get_template(name).render(here=here, session=session, **values)
        headers = (*headers, _WITH_FORM) if session or "token" in values else headers
        return Answer(text.encode("utf-8", "replace"), status, headers=headers)
