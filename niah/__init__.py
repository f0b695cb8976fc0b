"""niah: a long-context retrieval stress tester."""

__version__ = "0.1.0"
