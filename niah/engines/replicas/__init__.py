"""Several engines of one kind that share the trials of a run."""
