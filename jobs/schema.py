"""The plan's fields as a JSON schema or a page. See `python -m jobs.schema --help`."""

import sys

from mixstage.commands.schema import main

if __name__ == "__main__":
    sys.exit(main())
