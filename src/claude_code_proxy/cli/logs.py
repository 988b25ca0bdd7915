"""The log on standard error as it is wanted: lines to read, or one JSON object a line."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any, Final

from claude_code_proxy.log import TEXT, TIME


class JsonFormatter(logging.Formatter):
    """Time (UTC, RFC 3339), level, logger, message, and what a record carries as `request`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": moment.replace("+00:00", "Z"), "level": record.levelname.lower(), "logger": record.name}
        told: dict[str, Any] = {**line, "message": record.getMessage()}
        if request := getattr(record, "request", None):
            told["request"] = request
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False)


_FORMATS: Final[dict[str, dict[str, str]]] = {
    "pretty": {"format": TEXT, "datefmt": TIME},
    "json": {"()": f"{__name__}.{JsonFormatter.__name__}"},
}


def arranged(name: str) -> dict[str, Any]:
    """The logging configuration that has all of the server's log written in this format."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {name: _FORMATS[name]},
        "handlers": {"stderr": {"class": "claude_code_proxy.log.Lines", "formatter": name}},
        "loggers": {
            "claude_code_proxy": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
            "uvicorn": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        },
    }
