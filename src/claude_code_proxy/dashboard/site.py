"""The pages by their paths. They are made in threads: each has a reader of the ledger of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, get_args

from claude_code_proxy.dashboard import asked, charts, export, inspector, trace
from claude_code_proxy.dashboard.assets import Assets
from claude_code_proxy.dashboard.live import Live
from claude_code_proxy.dashboard.pages import Pages
from claude_code_proxy.ledger import series
from claude_code_proxy.ledger.entry import kept
from claude_code_proxy.ledger.reading import By, Chosen, read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from claude_code_proxy.dashboard.answers import Answer
    from claude_code_proxy.dashboard.sessions import Session
    from claude_code_proxy.health import Health
    from claude_code_proxy.ledger.reading import Reader
    from claude_code_proxy.metrics import Metrics
    from claude_code_proxy.settings import Settings

ROOT: Final = "/dashboard"
REQUEST: Final = f"{ROOT}/request/"
CHART: Final = f"{ROOT}/chart/"

_PAGE: Final = 50
_EXPORTED: Final = 10_000
_GROUPS: Final = 200
_BYS: Final[tuple[By, ...]] = get_args(By)


class Asked:
    """A request for a page: its path, its query, and who asks under which settings."""

    def __init__(self, path: str, query: Mapping[str, str], settings: Settings, session: Session | None) -> None:
        self.path, self.query, self.settings, self.session = path, query, settings, session


class Site:
    """The dashboard's pages."""

    def __init__(self, metrics: Metrics, health: Health) -> None:
        self._metrics, self._health = metrics, health
        self._pages, self._assets, self.live = Pages(), Assets(), Live(metrics)
        self._paths: dict[str, Callable[[Asked, Reader], Answer]] = {
            ROOT: self._overview,
            f"{ROOT}/requests": self._requests,
            f"{ROOT}/requests.csv": self._requests_csv,
            f"{ROOT}/sessions": self._sessions,
            f"{ROOT}/usage": self._usage,
            f"{ROOT}/usage.csv": self._usage_csv,
        }

    def answer(self, path: str, query: Mapping[str, str], settings: Settings, session: Session | None) -> Answer:
        """The page at a path. Raises what `database.connect` and its queries raise."""
        about = Asked(path, query, settings, session)
        make = self._paths.get(path)
        if path.startswith(REQUEST):
            make = self._request
        elif path.startswith(CHART):
            make = self._chart
        if make is None:
            return self._missing(about, "There is no such page.")
        if self._metrics.ledger is None:
            return self._off(about)
        with read(self._metrics.ledger.place) as reader:
            return make(about, reader)

    def asset(self, name: str, known: str) -> Answer:
        """A file that pages need."""
        return self._assets.answer(name, known)

    def sign_in(self, token: str, problem: str, status: int, *headers: tuple[bytes, bytes]) -> Answer:
        """The page that asks for the key."""
        return self._pages.page("sign_in.html", token=token, problem=problem, status=status, headers=headers)

    def broken(self, why: str) -> Answer:
        """The page that says why there is none."""
        return self._pages.page("message.html", title="Something went wrong", words=why, status=500)

    def _missing(self, about: Asked, words: str) -> Answer:
        return self._page(about, "message.html", title="Not found", words=words, status=404)

    def _off(self, about: Asked) -> Answer:
        words = (
            "The ledger is off (PROXY_LEDGER=off), so nothing is known of requests. What follows is of this process."
        )
        health = self._providers(about.settings)
        return self._page(about, "off.html", here=ROOT, words=words, providers=health, metrics=self._metrics)

    def _page(self, about: Asked, name: str, **values: Any) -> Answer:
        return self._pages.page(name, session=about.session, query=about.query, **values)

    def _overview(self, about: Asked, reader: Reader) -> Answer:
        span = asked.range_of(about.query)
        return self._page(
            about,
            "overview.html",
            here=ROOT,
            live=self.live.told(),
            totals=[
                ("Today", reader.total(asked.today())),
                ("7 days", reader.total(asked.chosen({"range": "7d"}))),
            ],
            span=span,
            charts=[(name, chart, charts.over(chart, span)) for name, chart in charts.CHARTS.items()],
            providers=self._providers(about.settings),
        )

    def _providers(self, settings: Settings) -> dict[str, Any]:
        """How providers do: those that have a key or were asked lately, what is down, which keys rest."""
        told = self._health.told()
        lately = told["last_seconds"]
        rows = [
            {
                "name": row.name,
                "host": row.host,
                "ready": row.ready,
                **lately.get(row.name, {"requests": 0, "retries": 0}),
            }
            for row in settings.providers.values()
            if row.name in lately or (row.ready and row.api_key) or row.name == settings.preferred_provider
        ]
        return {"rows": rows, "targets": told["targets"], "resting": told["resting_keys"]}

    def _requests(self, about: Asked, reader: Reader) -> Answer:
        found = reader.page(asked.chosen(about.query), before=asked.before(about.query), most=_PAGE + 1)
        rows, more = found[:_PAGE], len(found) > _PAGE
        used = series.used(reader)
        return self._page(
            about,
            "requests.html",
            here=f"{ROOT}/requests",
            filters={name: about.query.get(name, "") for name in (*asked.FILTERS, "before")},
            rows=rows,
            older=f"{rows[-1].began!r}_{rows[-1].id}" if more else "",
            used_providers=list(dict.fromkeys(row["provider"] for row in used)),
            used_models=list(dict.fromkeys(row["model"] for row in used)),
            range=about.query.get("range", "7d"),
        )

    def _requests_csv(self, about: Asked, reader: Reader) -> Answer:
        return export.of_requests(reader.page(asked.chosen(about.query), most=_EXPORTED))

    def _request(self, about: Asked, reader: Reader) -> Answer:
        ident = kept(about.path.removeprefix(REQUEST))
        ledger = self._metrics.ledger
        at_hand = [*ledger.running(), *ledger.latest()] if ledger else []
        entry = next((one for one in at_hand if one.id == ident), None) or reader.one(ident)
        if entry is None:
            return self._missing(about, "The ledger knows no request of this id.")
        if ledger:
            ledger.settle(ident)  # it may have ended just now
        return self._page(
            about,
            "request.html",
            here=f"{ROOT}/requests",
            entry=entry,
            steps=trace.steps(entry),
            sections=inspector.sections(entry, reader, about.settings),
            captures=about.settings.proxy_capture,
        )

    def _sessions(self, about: Asked, reader: Reader) -> Answer:
        rows = series.sessions(reader, asked.chosen(about.query))
        return self._page(
            about, "sessions.html", here=f"{ROOT}/sessions", rows=rows, range=about.query.get("range", "7d")
        )

    def _usage(self, about: Asked, reader: Reader) -> Answer:
        by, chosen = _by(about.query), _usage_of(about.query)
        rows = reader.sums(chosen, by)
        rows = rows[::-1] if by == "day" else rows
        return self._page(
            about,
            "usage.html",
            here=f"{ROOT}/usage",
            by=by,
            bys=_BYS,
            rows=rows[:_GROUPS],
            hidden=max(0, len(rows) - _GROUPS),
            total=reader.total(chosen),
            dearest=max((row.cost or 0 for row in rows), default=0) or 1,
            longest=max((row.input + row.cache_read + row.output for row in rows), default=0) or 1,
            range=about.query.get("range", "30d"),
        )

    def _usage_csv(self, about: Asked, reader: Reader) -> Answer:
        by = _by(about.query)
        return export.of_sums(by, reader.sums(_usage_of(about.query), by))

    def _chart(self, about: Asked, reader: Reader) -> Answer:
        name = about.path.removeprefix(CHART).removesuffix(".svg")
        found = charts.answer(name, reader, asked.range_of(about.query), about.query)
        return found or self._missing(about, "There is no such chart.")


def _by(query: Mapping[str, str]) -> By:
    by = query.get("by", "")
    return by if by in _BYS else "day"


def _usage_of(query: Mapping[str, str]) -> Chosen:
    return asked.chosen({"range": query.get("range", "30d")}, usual="30d")
