"""The verb ``edges``: borders of a model and its engine, and whether answers suffer at them."""
