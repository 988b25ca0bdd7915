"""Bad clients and bad ends: what they do to the server, and that others do not notice."""
