"""How one place that speaks generateContent differs from another."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from claude_code_proxy.dialects.quirks import reader

MAX_STOPS: Final = 5
"""How many stop sequences are taken."""


class Quirks(Struct, frozen=True, forbid_unknown_fields=True):
    """Deviations, with the choice that fits Google's own places as default.

    schema: how the inputs of tools are described: "json" in JSON Schema (`parametersJsonSchema`), "openapi" in
        Google's older form (`parameters`), for gateways that know only that.
    count: how tokens are counted: "wrapped", a whole request in a field; "bare", its fields themselves, as on Vertex.
    call_ids: whether calls and their results may carry ids. Without, they are paired by name and order.
    """

    schema: Literal["json", "openapi"] = "json"
    call_ids: bool = True
    count: Literal["wrapped", "bare"] = "wrapped"


quirks_of: Final = reader(Quirks)
"""Reads the quirks of a provider's row."""
