"""Phase 1: trains every stage of both components. See `python -m jobs.train --help`."""

import sys

from mixstage.commands.train import main

if __name__ == "__main__":
    sys.exit(main())
