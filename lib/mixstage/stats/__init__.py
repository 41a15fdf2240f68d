"""Statistics over plain arrays: bootstrap, paired intervals, sign flips, power, sequential evidence."""
