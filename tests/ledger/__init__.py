"""The ledger: its databases, its writer, and a server that keeps one."""
