"""The ledger's tables, as the steps that lead to them. A released step never changes; what is new is a new step."""

from __future__ import annotations

from typing import Final

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """
        CREATE TABLE requests (
            id TEXT PRIMARY KEY,
            began DOUBLE PRECISION NOT NULL,
            quarter BIGINT NOT NULL,
            owner TEXT NOT NULL,
            endpoint TEXT NOT NULL,
            client TEXT NOT NULL,
            session TEXT NOT NULL,
            agent TEXT NOT NULL,
            project TEXT NOT NULL,
            client_model TEXT NOT NULL,
            kind TEXT NOT NULL,
            rule TEXT NOT NULL,
            provider TEXT NOT NULL,
            model TEXT NOT NULL,
            stream INTEGER NOT NULL,
            attempts BIGINT NOT NULL,
            tried TEXT NOT NULL,
            state TEXT NOT NULL,
            status INTEGER NOT NULL,
            error TEXT NOT NULL,
            stop TEXT NOT NULL,
            first DOUBLE PRECISION,
            seconds DOUBLE PRECISION,
            input BIGINT,
            output BIGINT,
            cache_read BIGINT,
            cache_write BIGINT,
            thinking BIGINT,
            cost DOUBLE PRECISION,
            priced TEXT NOT NULL,
            received BIGINT NOT NULL,
            sent BIGINT NOT NULL
        )
        """,
        "CREATE INDEX requests_by_time ON requests (began, id)",
        "CREATE INDEX requests_by_session ON requests (session, began)",
        "CREATE INDEX requests_that_run ON requests (owner) WHERE state = 'running'",
        """
        CREATE TABLE captures (
            id TEXT NOT NULL,
            part TEXT NOT NULL,
            began DOUBLE PRECISION NOT NULL,
            data {bytes} NOT NULL,
            PRIMARY KEY (id, part)
        )
        """,
        "CREATE INDEX captures_by_time ON captures (began)",
    ),
)
"""Statements in the SQL that SQLite and Postgres share; `{bytes}` is each one's type for bytes."""

VERSION: Final = len(MIGRATIONS)
