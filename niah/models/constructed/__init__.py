"""Checkpoints whose weights are made by arithmetic, so that the right answer to every prompt is known."""

SCHEME = "calibration:"
"""What the path of a constructed model begins with."""
