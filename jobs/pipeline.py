"""All phases in order. Interrupt it anywhere; the next run goes on from what is in the store.

See `python -m jobs.pipeline --help`.
"""

import sys

from mixstage.commands.pipeline import main

if __name__ == "__main__":
    sys.exit(main())
