"""Tests, in the rooms of niah/; helpers/ has what several share, and no test imports another."""
