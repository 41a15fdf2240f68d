"""Phase 3: evaluates every combination of stages, depths and mixes; writes what they answer for other tools.

See `python -m jobs.evaluate --help`.
"""

import sys

from mixstage.commands.evaluate import main

if __name__ == "__main__":
    sys.exit(main())
