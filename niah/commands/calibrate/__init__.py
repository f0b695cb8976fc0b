"""Models whose right answer is known: weights that are constructed, not trained. Equations: docs/calibration.md."""
