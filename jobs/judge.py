"""Blind comparison: people say which of two compositions answers better, without knowing which is which.

See `python -m jobs.judge --help`.
"""

import sys

from mixstage.commands.judge import main

if __name__ == "__main__":
    sys.exit(main())
