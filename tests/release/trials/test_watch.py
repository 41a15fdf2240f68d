"""What is decided on a trial, from counts."""

from collections import Counter

import numpy as np
import pytest

from mixstage.plan.serving import TrialPlan
from mixstage.release.trials.tally import Tally, bucket
from mixstage.release.trials.watch import BASELINE, TrialCounts, baseline, decide, latency_limit

PLAN = TrialPlan()
FAST, SLOW = bucket(50), bucket(200)


def tally(fast: int = 0, slow: int = 0, errors: int = 0, agreement: float = 0.0, compared: int = 0) -> Tally:
    latencies = Counter({FAST: fast, SLOW: slow})
    requests = fast + slow + errors
    return Tally(requests=requests, errors=errors, agreement=agreement, compared=compared, latencies=latencies)


def word(action: str, seen: TrialCounts, plan: TrialPlan = PLAN, hours: float = 1) -> str:
    return decide(action, seen, plan, hours).word


def first(action: str, seen_at: list[TrialCounts]) -> tuple[int, str]:
    """The first request at which something is decided."""
    return next((n, w) for n, seen in enumerate(seen_at) if (w := word(action, seen)) != "wait")


def test_a_canary_that_always_fails_is_rolled_back_at_its_fifth_request() -> None:
    assert first("canary", [TrialCounts(trial=tally(errors=n)) for n in range(99)]) == (5, "roll back")


def test_a_canary_half_of_whose_requests_fail_is_rolled_back_within_six() -> None:
    assert first("canary", [TrialCounts(trial=tally(fast=n - n // 2, errors=n // 2)) for n in range(99)]) == (
        5,
        "roll back",
    )


def test_one_failure_among_the_first_requests_decides_nothing() -> None:
    assert [word("canary", TrialCounts(trial=tally(fast=n, errors=1))) for n in range(1, 60)] == ["wait"] * 59


def test_a_faultless_canary_is_promoted_after_some_450_requests() -> None:
    seen = [TrialCounts(trial=tally(fast=n), live_p95_ms=52.0) for n in range(600)]
    assert first("canary", seen) == (449, "promote")


def test_a_slow_canary_is_rolled_back_and_the_reason_names_the_limit() -> None:
    seen = [TrialCounts(trial=tally(slow=n), live_p95_ms=100.0) for n in range(60)]
    assert first("canary", seen) == (5, "roll back")
    (reason,) = decide("canary", seen[6], PLAN, 1).reasons
    assert reason.startswith("answers slower than 120 ms: 1 (6 of 6), limit 0.05; evidence")


def test_without_a_live_p95_latency_is_not_judged_and_nothing_is_promoted() -> None:
    assert word("canary", TrialCounts(trial=tally(slow=5000))) == "wait"
    assert word("canary", TrialCounts(trial=tally(slow=5000)), TrialPlan(p95_ms=300)) == "promote"
    assert word("canary", TrialCounts(trial=tally(slow=5000)), TrialPlan(p95_ms=100)) == "roll back"


def test_the_live_p95_is_taken_once_200_answers_are_known() -> None:
    assert baseline(tally(fast=189, slow=10)) is None
    assert baseline(tally(fast=189, slow=10, errors=1)) is None  # failures are no answers
    assert baseline(tally(fast=190, slow=10)) == pytest.approx(50, rel=0.045)
    assert baseline(tally(fast=189, slow=11)) == pytest.approx(200, rel=0.045)
    assert latency_limit(TrialCounts(live_p95_ms=50), TrialPlan(slower=1.5)) == 75
    assert latency_limit(TrialCounts(live_p95_ms=50), TrialPlan(p95_ms=10)) == 10


def test_a_shadow_has_to_find_half_of_what_the_live_one_finds() -> None:
    def shadow(agreement: float) -> TrialCounts:
        return TrialCounts(trial=tally(fast=600, agreement=agreement * 600, compared=600), live_p95_ms=52.0)

    assert word("shadow", shadow(0.8)) == "promote"
    assert word("shadow", shadow(0.3)) == "roll back"
    assert word("shadow", shadow(0.5)) == "wait"
    assert word("canary", shadow(0.3)) == "promote"  # a canary is not compared


def test_an_interleaved_trial_is_decided_by_clicks() -> None:
    def clicked(wins: int, losses: int) -> TrialCounts:
        return TrialCounts(trial=tally(fast=600), live_p95_ms=52.0, wins=wins, losses=losses, ties=50)

    assert word("interleave", clicked(40, 10)) == "promote"
    assert word("interleave", clicked(10, 40)) == "roll back"
    assert word("interleave", clicked(25, 25)) == "wait"


def test_a_trial_that_nothing_decides_ends_after_its_hours_and_says_so() -> None:
    seen = TrialCounts(trial=tally(fast=20))
    assert word("canary", seen, hours=23.9) == "wait"
    decision = decide("canary", seen, PLAN, 24)
    assert decision.word == "inconclusive"
    assert decision.sentence().startswith("inconclusive: not decided in 24 hours. errors: 0 (0 of 20), limit 0.01; ")


def test_a_canary_at_its_very_limits_is_rolled_back_in_alpha_of_all_runs_at_most() -> None:
    """200 runs of 500 requests, 1 % errors and 5 % slow answers, decided after each."""
    generator, rolled = np.random.default_rng(7), 0
    for _ in range(200):
        trial = Tally()
        for failed, slow in zip(generator.random(500) < 0.01, generator.random(500) < 0.05, strict=True):
            trial.failed() if failed else trial.answered(0.2 if slow else 0.05)
            made = word("canary", TrialCounts(trial=trial, live_p95_ms=60.0))
            if made != "wait":
                rolled += made == "roll back"
                break
    assert rolled <= 0.05 * 200


def compared(scale: float, generator: np.random.Generator) -> tuple[int, str]:
    """Requests until a canary is decided that takes `scale` times as long as the live side, whose p95 is estimated."""
    live, trial = Tally(), Tally()
    for seconds in generator.lognormal(-3, 0.5, BASELINE):
        live.answered(float(seconds))
    seen = TrialCounts(live=live, trial=trial, live_p95_ms=baseline(live))
    for number, seconds in enumerate(generator.lognormal(-3, 0.5, 4000), 1):
        trial.answered(float(scale * seconds))
        made = word("canary", seen)
        if made != "wait":
            return number, made
    return 4000, "wait"


def test_a_canary_like_the_live_one_is_promoted_though_the_live_p95_is_an_estimate() -> None:
    generator = np.random.default_rng(2)
    assert Counter(compared(1.0, generator)[1] for _ in range(20)) == {"promote": 20}


def test_a_canary_twice_as_slow_is_rolled_back_in_some_twenty_requests() -> None:
    generator = np.random.default_rng(2)
    needed, words = zip(*(compared(2.0, generator) for _ in range(20)), strict=True)
    assert set(words) == {"roll back"}
    assert np.median(needed) < 40
