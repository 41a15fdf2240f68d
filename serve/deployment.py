"""How a plain class becomes a deployment of ours; what may change while it runs is configured: see `serve.apps`."""

from typing import Any

from ray import serve

_STARTS = 3  # attempts of a replica whose constructor raises: digests do not get better by waiting
_CPUS = 0.25  # of a replica, where no configuration says otherwise


def deployment(kind: type, name: str) -> Any:
    """A Serve deployment, to be bound to its arguments."""
    return serve.deployment(kind).options(  # type: ignore[attr-defined]
        name=name, max_constructor_retry_count=_STARTS, ray_actor_options={"num_cpus": _CPUS}
    )
