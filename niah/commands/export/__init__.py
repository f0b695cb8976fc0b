"""The verb ``export``: a run's rows and aggregates in the formats of other tools."""
