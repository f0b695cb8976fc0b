"""The verb ``ruler``: RULER's table of a sweep over its settings."""
