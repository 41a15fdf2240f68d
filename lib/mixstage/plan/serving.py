"""What a plan says about serving: replicas, time limits, and the limits that a composition on trial has to keep."""

from pydantic import Field

from mixstage.plan.stages import Part


class ScalePlan(Part):
    """Replicas of a Serve application, and what each of them takes."""

    min_replicas: int = Field(1, ge=1)
    max_replicas: int = Field(1, ge=1)
    target_ongoing: float = Field(8, gt=0)  # requests at a replica above which more replicas start
    upscale_delay_s: float = Field(10, ge=0)
    downscale_delay_s: float = Field(300, ge=0)
    max_ongoing: int = Field(64, ge=1)  # requests that a replica works at
    max_queued: int = Field(256, ge=0)  # requests that wait for a replica, per caller; more are answered 503
    cpus: float = Field(0.25, ge=0)  # of 2 cores: room for the components of a release and of its trial
    gpus: float = Field(0, ge=0)


class ComponentScalePlan(ScalePlan):
    budget: int | None = Field(None, ge=1)  # of a model's call: queries of a retriever, characters of a reranker


class RetrieverScalePlan(ComponentScalePlan):
    shards: int = Field(1, ge=1)  # parts of a generation that are searched by replicas of their own


class TrialPlan(Part):
    """Limits of a canary, a shadow copy and an interleaved list."""

    alpha: float = Field(0.05, gt=0, lt=0.5)  # chance that a trial is decided wrongly, however often one looks
    errors: float = Field(0.01, gt=0, lt=1)  # share of requests that may fail
    slower: float = Field(1.2, ge=1)  # p95 latency, as a multiple of the live one's
    p95_ms: float | None = Field(None, gt=0)  # ... or in milliseconds, whatever the live one takes
    agreement: float = Field(0.5, gt=0, lt=1)  # of a shadow copy: mean share of the live hits that it finds as well.
    # It tells a broken ranking from another one, not a better from a worse
    hours: float = Field(24, gt=0)  # after which a trial that was not decided ends


class ServingPlan(Part):
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=1, le=65535)
    registry: str | None = None  # SQLAlchemy URL; unset: SQLite beside the store
    gateway: ScalePlan = ScalePlan(cpus=0.1)
    retriever: RetrieverScalePlan = RetrieverScalePlan()
    reranker: ComponentScalePlan = ComponentScalePlan()
    deadline_s: float = Field(10, gt=0)  # in which a request is answered, or refused with 504
    start_s: float = Field(300, gt=0)  # in which a released component comes to answer, or the release has failed
    retain_s: float = Field(600, ge=0)  # for which a component that nothing pins any more keeps running
    max_body_kib: int = Field(8192, ge=1)  # of a request; larger ones are answered 413
    remember_days: float = Field(30, gt=0)  # for which a search is kept so that feedback on it can be understood
    open: bool = False  # whether a host that other machines reach may serve without API keys: see jobs.keys
    trial: TrialPlan = TrialPlan()
