"""Checkpoints whose weights are made by arithmetic, so that the right answer to every prompt is known."""
