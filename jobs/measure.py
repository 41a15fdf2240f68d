"""Measures rankings: nDCG@k, nDCGexp@k, RR@k, AP@k, P@k, R@k, Success@k, Rprec, Bpref, Judged@k, equal to trec_eval's.

See `python -m jobs.measure --help`.
"""

import sys

from mixstage.commands.measure import main

if __name__ == "__main__":
    sys.exit(main())
