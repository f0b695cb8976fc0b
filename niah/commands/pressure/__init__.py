"""The verb ``pressure``: the same prompts alone and under load, a small KV pool, warm caches, an offload tier."""
