"""The name of a request, among the proxy's answers, its log lines and the rows of its ledger."""

from __future__ import annotations

import time
from os import urandom


def new_request_id() -> str:
    """`req_`, twelve hexadecimal digits of milliseconds since 1970, and twelve of chance.

    Names that grow with time are neighbours in the ledger's index: a batch of rows changes a few of its pages, not one
    for each row, and is written in less than half of the time.
    """
    return f"req_{time.time_ns() // 1_000_000:012x}{urandom(6).hex()}"
