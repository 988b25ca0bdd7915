"""Every feature of the real clients on every dialect."""
