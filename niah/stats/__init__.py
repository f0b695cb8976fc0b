"""From rows to numbers with intervals; no clock, no files."""
