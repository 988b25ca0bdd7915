"""Traces and metrics for an OpenTelemetry collector, where its variables name one. Else nothing of it is imported."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from claude_code_proxy.settings import lend

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from claude_code_proxy.metrics import Metrics

TRACES: Final = "traces"
METRICS: Final = "metrics"

INSTALL: Final = "uv sync --extra otel, or pip install 'claude-code-proxy[otel]'"

# Of each signal: the variables that name its collector, its protocol, and its exporters. The first that is set counts.
_VARIABLES: Final = {
    TRACES: (
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"),
        ("OTEL_TRACES_EXPORTER",),
    ),
    METRICS: (
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"),
        ("OTEL_METRICS_EXPORTER",),
    ),
}
_PROTOCOL: Final = "http/protobuf"
_EXPORTER: Final = "otlp"

_log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def exporting(variables: Mapping[str, str], metrics: Metrics) -> AsyncGenerator[None]:
    """Tell a collector of requests until the block ends, if `variables`, which begin with `OTEL_`, want that.

    Whatever is wrong with it is told in the log, and requests are not affected.
    """
    if not (wanted := signals(variables)):
        yield
        return
    try:
        from claude_code_proxy.telemetry.export import Export  # noqa: PLC0415 -- it takes long, and may be missing

        lend(variables)
        export = Export(wanted)
    except ImportError as cause:
        _log.warning("OTEL_* variables want traces or metrics, but %s is not installed: %s", cause.name, INSTALL)
        yield
        return
    except (ValueError, OSError) as cause:  # a variable that the SDK cannot use; its value may be a secret
        _log.warning("OpenTelemetry does not start, as one of its variables is wrong (%s).", type(cause).__name__)
        yield
        return
    metrics.listen(export.ended)
    _log.info("OpenTelemetry: %s are sent to the collector.", " and ".join(sorted(wanted)))
    try:
        yield
    finally:
        await asyncio.to_thread(export.close)


def signals(variables: Mapping[str, str]) -> frozenset[str]:
    """Which of traces and metrics are wanted. Another protocol than ours is told of, and not spoken."""
    if _word(variables, "OTEL_SDK_DISABLED") == "true":
        return frozenset()
    return frozenset(signal for signal in _VARIABLES if _wanted(variables, signal))


def _wanted(variables: Mapping[str, str], signal: str) -> bool:
    endpoint, protocol, exporters = (_word(variables, *names) for names in _VARIABLES[signal])
    if not endpoint or (exporters and _EXPORTER not in exporters.split(",")):
        return False
    if protocol and protocol != _PROTOCOL:
        _log.warning("OpenTelemetry: %s are not sent, as only the protocol %s is spoken.", signal, _PROTOCOL)
        return False
    return True


def _word(variables: Mapping[str, str], *names: str) -> str:
    """The first of these variables that holds something."""
    return next((held for name in names if (held := variables.get(name, "").strip().lower())), "")
