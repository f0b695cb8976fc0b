"""``python -m niah``."""

import sys

from niah.cli import main


def run() -> int:
    """Entry point of the ``niah`` command."""
    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(run())
