"""`python -m mixstage`: the command `mixstage` where its script isn't on the PATH."""

import sys

from mixstage.commands.console.main import main

if __name__ == "__main__":
    sys.exit(main())
