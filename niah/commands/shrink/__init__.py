"""The verb ``shrink``: a failing trial made small, and a script that shows it without niah."""
