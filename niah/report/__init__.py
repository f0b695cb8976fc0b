"""Figures and tables from rows alone: no engine, no tokenizer, no haystack."""
