"""What exactly is sent: from a trial to its prompt, in ids, and again from a stored row."""
