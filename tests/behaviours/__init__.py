"""The sixty behaviours of the seed that its users rely on, each with a test that names its number."""
