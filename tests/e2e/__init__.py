"""The real clients through the real server, against strict fakes."""
