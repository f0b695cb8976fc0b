"""The verb ``crosscheck``: the same prompts through a second engine."""
