"""What happens when an upstream fails, in every way it can."""
