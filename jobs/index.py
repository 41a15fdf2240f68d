"""Phase 2: embeds and indexes every corpus once per retriever stage. See `python -m jobs.index --help`."""

import sys

from mixstage.commands.index import main

if __name__ == "__main__":
    sys.exit(main())
