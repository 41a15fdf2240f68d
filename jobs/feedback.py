"""What users said of search results, as a collection for the next curriculum and as training pairs.

See `python -m jobs.feedback --help`.
"""

import sys

from mixstage.commands.feedback import main

if __name__ == "__main__":
    sys.exit(main())
