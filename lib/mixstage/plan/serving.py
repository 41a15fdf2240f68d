"""What a plan says about serving: replicas, time limits, and the limits that a composition on trial has to keep."""

from pydantic import Field

from mixstage.plan.stages import Part


class ScalePlan(Part):
    """Replicas of a Serve application, and what each of them takes."""

    min_replicas: int = Field(1, ge=1)
    """Replicas that always run."""
    max_replicas: int = Field(1, ge=1)
    """Replicas that may run under load."""
    target_ongoing: float = Field(8, gt=0)
    """Requests at a replica above which more replicas start."""
    upscale_delay_s: float = Field(10, ge=0)
    """Seconds of load before a replica is added."""
    downscale_delay_s: float = Field(300, ge=0)
    """Seconds of quiet before a replica is taken away."""
    max_ongoing: int = Field(64, ge=1)
    """Requests that a replica works at together; it batches them."""
    max_queued: int = Field(256, ge=0)
    """Requests of one caller that wait for a replica; more are answered with status 503."""
    cpus: float = Field(0.25, ge=0)
    """Logical CPUs that Ray reserves for a replica. The default leaves room on 2 cores for the components of a release
    and of its trial."""
    gpus: float = Field(0, ge=0)
    """GPUs that Ray reserves for a replica; 0.5 lets two share one."""


class ComponentScalePlan(ScalePlan):
    """Replicas of a model's Serve application, and how much one call of the model reads."""

    budget: int | None = Field(None, ge=1)
    """What one call of the model reads: queries of a retriever, characters of a reranker. Unset: what suits the
    device."""


class RetrieverScalePlan(ComponentScalePlan):
    """Replicas of a retriever's Serve application, and how its index is divided."""

    shards: int = Field(1, ge=1)
    """Shards of an index generation, each searched by replicas of its own: for indexes larger than a node's memory."""


class TrialPlan(Part):
    """Limits of a canary, a shadow copy and an interleaved list."""

    alpha: float = Field(0.05, gt=0, lt=0.5)
    """Chance that a trial is decided wrongly, however often one looks at it."""
    errors: float = Field(0.01, gt=0, lt=1)
    """Share of its requests that may fail."""
    slower: float = Field(1.2, ge=1)
    """Highest p95 latency, as a multiple of the released composition's."""
    p95_ms: float | None = Field(None, gt=0)
    """Highest p95 latency in milliseconds, whatever the released composition takes. Unset: `slower` decides alone."""
    agreement: float = Field(0.5, gt=0, lt=1)
    """Mean share of the released composition's hits that a shadow copy has to find as well. It tells a broken ranking
    from another one, not a better from a worse."""
    hours: float = Field(24, gt=0)
    """Hours after which a trial that was not decided ends."""


class ServingPlan(Part):
    """The gateway and the components behind it."""

    host: str = "127.0.0.1"
    """Address that the gateway listens on; 0.0.0.0 lets other machines in, which needs API keys."""
    port: int = Field(8000, ge=1, le=65535)
    """Port that the gateway listens on."""
    registry: str | None = None
    """SQLAlchemy URL of the database of releases, keys and feedback. Unset: SQLite beside the store."""
    gateway: ScalePlan = ScalePlan(cpus=0.1)
    """Replicas of the gateway, which loads no model."""
    retriever: RetrieverScalePlan = RetrieverScalePlan()
    """Replicas of each retriever."""
    reranker: ComponentScalePlan = ComponentScalePlan()
    """Replicas of each reranker."""
    deadline_s: float = Field(10, gt=0)
    """Seconds in which a request is answered, or refused with status 504."""
    start_s: float = Field(300, gt=0)
    """Seconds in which a released component has to answer, or the release has failed."""
    retain_s: float = Field(600, ge=0)
    """Seconds for which a component that nothing pins any more keeps running, so that a rollback is instant."""
    max_body_kib: int = Field(8192, ge=1)
    """Largest request in KiB; larger ones are answered with status 413."""
    remember_days: float = Field(30, gt=0)
    """Days for which a search is kept, so that feedback on it can be understood."""
    endpoints: tuple[str, ...] = ()
    """Further families of endpoints that the gateway answers: names of installed entry points of the group
    `mixstage.endpoints`, or `PACKAGE.MODULE:NAME` of a `Family`."""
    open: bool = False
    """Whether a host that other machines reach may serve without API keys."""
    trial: TrialPlan = TrialPlan()
    """Limits that a composition on trial has to keep."""
