"""Phase 4: chooses on dev, confirms on test, writes the report. See `python -m jobs.select --help`."""

import sys

from mixstage.commands.select import main

if __name__ == "__main__":
    sys.exit(main())
