"""Counts of a side of a trial: buckets, percentiles, sums."""

from collections import Counter

import numpy as np
import pytest

from mixstage.release.trials.tally import Tally, bucket, total, upper_ms


def test_a_bucket_ends_where_it_says_and_the_next_begins() -> None:
    assert [bucket(ms) for ms in (0.0, 0.5, 1.0, 2.0, 4.0, 1024.0)] == [0, 0, 0, 16, 32, 160]
    for number in range(1, 300):
        assert bucket(upper_ms(number)) == number
        assert bucket(upper_ms(number) * 1.0001) == number + 1


def test_a_percentile_is_the_end_of_the_bucket_that_holds_it() -> None:
    generator = np.random.default_rng(3)
    seconds = generator.lognormal(-3, 0.6, 1001)
    tally = Tally()
    for value in seconds:
        tally.answered(float(value))
    exact = float(np.quantile(seconds, 0.95, method="inverted_cdf")) * 1000
    found = tally.percentile(0.95)
    assert found is not None and exact <= found < exact * 2 ** (1 / 16)
    assert tally.slower_than(found) == int((seconds * 1000 > found).sum())
    assert Tally().percentile(0.95) is None


def test_a_limit_inside_a_bucket_counts_as_the_buckets_end() -> None:
    tally = Tally()
    tally.answered(0.100)  # 100 ms and 101 ms share the bucket that ends at 2^(107/16) = 103.07 ms
    tally.answered(0.101)
    tally.answered(0.105)
    assert upper_ms(bucket(100)) == pytest.approx(103.07, abs=0.01)
    assert tally.slower_than(100) == 1


def test_replicas_add_up() -> None:
    one, other = Tally(), Tally(dropped=2)
    one.answered(0.002)
    one.compare(0.5)
    other.answered(0.002)
    other.failed()
    other.compare(1.0)
    whole = total([one, other])
    assert whole == Tally(requests=3, errors=1, agreement=1.5, compared=2, dropped=2, latencies=Counter({16: 2}))
    assert whole.answers == 2
    assert one.latencies == {16: 1}  # left as it was
