"""Text to ids and back, exactly: tokenizers, seams between texts, and where a text may be cut."""
