"""Lines of the access log: as good as any that `logging` makes."""

from __future__ import annotations

import logging
import time

import pytest

from claude_code_proxy.http.line import NAME, Line, Plain

WORDS = ("POST /v1/messages", "a", "b:c", 200, 0.5, "in=1 ", "req_1")


def test_it_has_every_attribute_that_logging_gives_a_record() -> None:
    usual = logging.getLogger(NAME).makeRecord(
        *(NAME, logging.INFO, __file__, 1, "%s", ("a",), None, "here"), extra={"request": {}}
    )
    line = Line(WORDS, {})

    assert vars(line).keys() == vars(usual).keys()
    for name in ("levelname", "levelno", "name", "process", "processName", "thread", "threadName", "exc_info"):
        assert getattr(line, name) == getattr(usual, name), name
    assert line.getMessage() == "POST /v1/messages a → b:c 200 0.50s in=1 req_1"


def test_each_has_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    first = Line(WORDS, {"id": 1})
    monkeypatch.setattr(time, "time", lambda: first.created + 61.5)
    second = Line(WORDS, {"id": 2})

    assert second.created - first.created == pytest.approx(61.5)
    assert second.relativeCreated - first.relativeCreated == pytest.approx(61_500)
    assert second.msecs == int(second.created % 1 * 1000)
    assert (vars(first)["request"], vars(second)["request"]) == ({"id": 1}, {"id": 2})


def test_the_time_that_is_written_is_the_records_own() -> None:
    formatter, usual = Plain(), logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")
    for moment in (0.0, 0.9, 1.0, 86_399.99, 86_400.0, 1.0, 1_800_000_000.5):
        record = Line(WORDS, {})
        record.created = moment
        assert formatter.format(record) == usual.format(record)
