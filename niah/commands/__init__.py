"""What a command does: one verb, one file or folder. Only these print, and write what a person asked for."""
