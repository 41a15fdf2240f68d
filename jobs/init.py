"""Writes a commented plan for a folder of your own data. See `python -m jobs.init --help`."""

import sys

from mixstage.commands.init import main

if __name__ == "__main__":
    sys.exit(main())
