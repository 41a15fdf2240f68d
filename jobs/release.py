"""Phase 5: pins applications to compositions. See `python -m jobs.release --help`."""

import sys

from mixstage.commands.release import main

if __name__ == "__main__":
    sys.exit(main())
