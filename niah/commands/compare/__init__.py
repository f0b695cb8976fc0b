"""The verb ``compare``: the same trials in two runs or more, paired."""
