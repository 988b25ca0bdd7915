"""What became of every request, one row each, kept in SQLite or Postgres.

`entry` is a row, `schema` its table, `database` the two kinds of databases, `writer` writes beside the traffic,
`reading` is what others want to know of it.
"""
