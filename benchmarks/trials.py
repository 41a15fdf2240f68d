"""After how many requests a trial is decided, by simulated requests and the code that decides real ones.

python -m benchmarks.trials           # 100 slow trials: a minute
python -m benchmarks.trials --runs 5

Limits are `serving.trial` at its defaults. A tenth of the users is on trial; seconds are log-normal around 50 ms with
sigma .5, those of the slow trial twice as long. The operator looks after every request.
"""

import argparse
from collections.abc import Iterator, Sequence
from itertools import count, repeat

import numpy as np

from benchmarks.machine import heading, table
from mixstage.plan.serving import TrialPlan
from mixstage.release.trials.tally import Tally
from mixstage.release.trials.watch import TrialCounts, baseline, decide

_SHARE = 0.1  # of the users
_MEDIAN_S = 0.05
_SIGMA = 0.5
_WARM = 2000  # live answers from which the live p95 of a trial without surprises comes
Answers = Iterator[float | None]  # seconds of each answer, None for a failure


def main(arguments: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(prog="python -m benchmarks.trials", description=__doc__.splitlines()[0])
    options.add_argument("--runs", type=int, default=100, help="simulated trials that are twice as slow")
    runs = options.parse_args(arguments).runs
    plan = TrialPlan()
    limits = f"errors {plan.errors:g}, p95 {plan.slower:g} times the live one's, alpha {plan.alpha:g}"
    print(heading(f"Requests on trial until it is decided: {limits}"))
    loose = plan.model_copy(update={"errors": 0.05})
    slow = sorted(decided_amid(plan, seed) for seed in range(runs))
    words = {word for _, word in slow}
    rows = [
        ("a trial", "is decided"),
        ("half of its requests fail", _said(decided(plan, alternating()))),
        ("all of its requests fail", _said(decided(plan, repeat(None)))),
        ("none fails, as fast as the live one", _said(decided(plan, repeat(_MEDIAN_S)))),
        (f"the same, errors {loose.errors:g}", _said(decided(loose, repeat(_MEDIAN_S)))),
        (
            f"twice as slow, {runs} simulated",
            f"{' or '.join(sorted(words))} at request {slow[runs // 2][0]} in the median, {slow[-1][0]} at worst",
        ),
    ]
    print(table(*rows))
    return 0


def alternating() -> Answers:
    """Good and failed by turns, good first."""
    return (None if number % 2 else _MEDIAN_S for number in count())


def decided(plan: TrialPlan, answers: Answers) -> tuple[int, str]:
    """Requests and the decision of a trial beside live answers that are known already."""
    live = Tally()
    for _ in range(_WARM):
        live.answered(_MEDIAN_S)
    trial, limit_ms = Tally(), baseline(live)
    while True:
        observe(trial, next(answers))
        word = decide("canary", TrialCounts(live=live, trial=trial, live_p95_ms=limit_ms), plan, 0).word
        if word != "wait":
            return trial.requests, word


def decided_amid(plan: TrialPlan, seed: int) -> tuple[int, str]:
    """The same for a trial twice as slow, whose live answers come at its own time."""
    generator = np.random.default_rng(seed)
    live, trial, limit_ms = Tally(), Tally(), None
    while True:
        on_trial = generator.random() < _SHARE
        seconds = float(generator.lognormal(np.log(_MEDIAN_S * (2 if on_trial else 1)), _SIGMA))
        observe(trial if on_trial else live, seconds)
        limit_ms = limit_ms or baseline(live)
        word = decide("canary", TrialCounts(live=live, trial=trial, live_p95_ms=limit_ms), plan, 0).word
        if word != "wait":
            return trial.requests, word


def observe(side: Tally, seconds: float | None) -> None:
    if seconds is None:
        side.failed()
    else:
        side.answered(seconds)


def _said(outcome: tuple[int, str]) -> str:
    requests, word = outcome
    return f"{word} at request {requests}"


if __name__ == "__main__":
    raise SystemExit(main())
