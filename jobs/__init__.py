"""`python -m jobs.NAME PLAN`, a file a job for `ray job submit`; the commands are in lib/mixstage/commands."""

import sys
from pathlib import Path

# A submitted job runs in the uploaded copy of this folder. Its own lib/ must come before the mixstage that the cluster
# has installed, else an edit of the library would not reach the driver; `connect` hands that copy to workers.
sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
