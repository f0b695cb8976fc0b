"""The verb ``rag``: RAG or the long context, from runs of several readers over the same instances."""
