"""A run: its loop, its folder, and what makes two commands the same run."""
