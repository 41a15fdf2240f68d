"""Serves what the registry pins, and follows it as long as it runs: the same as `mixstage serve`."""

import sys

from mixstage.commands.serve import main

if __name__ == "__main__":
    sys.exit(main())
