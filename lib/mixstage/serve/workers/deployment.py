"""How a plain class becomes a Serve deployment, and what Serve's user_config may set while it runs."""

from typing import Any, TypedDict

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ray import serve

_STARTS = 3  # attempts of a replica whose constructor raises: digests do not get better by waiting
_CPUS = 0.25  # of a replica, where no configuration says otherwise
PAUSES = (0.02, 0.04)  # seconds before a call is sent again to a component whose replica died


def deployment(kind: type, name: str) -> Any:
    """A Serve deployment, to be bound to its arguments."""
    return serve.deployment(kind).options(  # type: ignore[attr-defined]
        name=name, max_constructor_retry_count=_STARTS, ray_actor_options={"num_cpus": _CPUS}
    )


class Tuning(BaseModel):
    """The user_config of a retriever or a reranker."""

    model_config = ConfigDict(extra="forbid", strict=True)

    budget: int | None = Field(None, ge=1)  # of a call: queries of a retriever, characters of a reranker; None: default


class Status(TypedDict):
    """What a component says of itself."""

    digest: str  # of what it serves
    budget: int  # see `Tuning`
    problem: str | None  # why the last user_config is not in force


class Tuned:
    """The budget in force. Setting it never raises: Serve would take the replica out of service for a typing error."""

    def __init__(self, default: int) -> None:
        self.default = self.budget = default
        self.problem: str | None = None

    def set(self, user_config: object) -> int:
        """The budget by a user_config; what it was before, and a noted problem, if that is none."""
        try:
            wanted = Tuning.model_validate(user_config)
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'user_config'}: {e['msg']}" for e in error.errors())
            self.problem = f"user_config is refused, {self.budget} stays in force: {problems}"
        else:
            self.budget, self.problem = wanted.budget or self.default, None
        return self.budget

    def status(self, digest: str) -> Status:
        return Status(digest=digest, budget=self.budget, problem=self.problem)
