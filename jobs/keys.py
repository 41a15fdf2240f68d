"""API keys of the gateway: with one or more, nobody searches without. See `python -m jobs.keys --help`."""

import sys

from mixstage.commands.keys import main

if __name__ == "__main__":
    sys.exit(main())
