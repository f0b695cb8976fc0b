"""A model: its settings, its files, its tokenizer, and models whose weights are constructed."""
