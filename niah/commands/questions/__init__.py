"""The verb ``questions``: whether a file of questions and a haystack make a measurement."""
