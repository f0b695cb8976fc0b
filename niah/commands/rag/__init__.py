"""The verb ``rag``: readers of the same instances side by side, and the long context among them."""
