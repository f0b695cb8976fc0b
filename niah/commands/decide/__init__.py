"""The verb ``decide``: paired repeats until a loss is proven or ruled out, and no longer."""
