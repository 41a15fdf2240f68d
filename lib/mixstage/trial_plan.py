"""What a plan says about trials: the limits that a composition on trial has to keep, and how surely."""

from pydantic import Field

from mixstage.stage_plan import Part


class TrialPlan(Part):
    """Limits of a canary, a shadow copy and an interleaved list."""

    alpha: float = Field(0.05, gt=0, lt=0.5)  # chance that a trial is decided wrongly, however often one looks
    errors: float = Field(0.01, gt=0, lt=1)  # share of requests that may fail
    slower: float = Field(1.2, ge=1)  # p95 latency, as a multiple of the live one's
    p95_ms: float | None = Field(None, gt=0)  # ... or in milliseconds, whatever the live one takes
    agreement: float = Field(0.5, gt=0, lt=1)  # of a shadow copy: mean share of the live hits that it finds as well.
    # It tells a broken ranking from another one, not a better from a worse
    hours: float = Field(24, gt=0)  # after which a trial that was not decided ends
