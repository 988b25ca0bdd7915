"""What became of every request, one row each, kept in SQLite or Postgres.

`entry` is a row, `schema` its table, `database` the two kinds of databases, `writer` writes beside the traffic,
`reading` is what others want to know of it.

What is captured of a request: `capture` gathers it, `masking` and `scattered` take the secrets out. `inspect` shows it
block by block, `xray` finds where a prompt differs from the one before, `turns` which one that is; `bundle` makes a
report of it, `shape` without its words.
"""
