"""What the first word of a command does; each verb takes the words after it and returns the exit code."""
