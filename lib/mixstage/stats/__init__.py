"""Statistics over plain arrays: bootstrap, paired intervals, sign flips, power, sequential evidence."""

from typing import Final

# Metric points that rounding alone moves a sum or a mean by, and far below any real difference. Squares are compared
# with its square.
ROUNDING: Final = 1e-9
