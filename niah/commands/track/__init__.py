"""The verb ``track``, and the trackers that a run is told to: one tracker, one file."""
