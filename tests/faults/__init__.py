"""The campaign of faults: commands that are killed, files that are cut, flipped or hostile, disks that are full.

``python -m tests.faults`` (``make faults``) runs it for minutes or hours; docs/reliability.md has its figures.
"""
