"""Phase 0: checks the plan's collections and writes them as tables. See `python -m jobs.prepare --help`."""

import sys

from mixstage.commands.prepare import main

if __name__ == "__main__":
    sys.exit(main())
