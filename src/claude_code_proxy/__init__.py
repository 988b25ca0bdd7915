"""Run Claude Code and the Claude Agent SDK on any model."""

__version__ = "0.1.0"
