"""The page: one self-contained HTML file over finished trials, and report.json with every number it shows."""
