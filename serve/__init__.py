"""`python -m serve.app PLAN` serves what is released; the applications themselves are in lib/mixstage/serve."""

import sys
from pathlib import Path

# As in jobs/: a submitted copy of this folder uses its own library.
sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
