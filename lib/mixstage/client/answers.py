"""What a gateway answers, as plain values. Fields that a newer gateway adds are passed over."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from mixstage.errors import ClientError

T = TypeVar("T")
Object = Mapping[str, Any]  # an object of JSON, before it is read


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """Places of a hit, from 1, after each phase."""

    retrieval: int
    reranking: int | None  # None: nothing reranked


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Scores of a hit, by each component."""

    retrieval: float
    reranking: float | None  # the reranker's raw logit


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A document of an answer; scores are comparable inside one answer only."""

    id: str
    score: float
    title: str
    text: str  # a snippet
    ranks: Ranks | None = None  # with `explain`
    scores: Scores | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Milliseconds in the gateway, waiting for components included."""

    retrieve_ms: float
    rerank_ms: float  # 0 without a reranker
    total_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Hits of a search, and the composition that found them."""

    request_id: str  # feedback names it
    application: str
    composition: str
    release: int
    generation: str
    role: str  # live, canary, interleave or named
    hits: tuple[Hit, ...]
    timings: Timings


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A release of an application."""

    release: int
    composition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial(Release):
    """What is tried beside the live release."""

    action: str  # canary, shadow or interleave
    share: float | None  # of the users


@dataclass(frozen=True, slots=True, kw_only=True)
class Application(Release):
    """What an application is served with."""

    generation: str
    wanted: Release | None  # what was released and does not answer yet
    trial: Trial | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compositions:
    """Names that the `composition` of a search may have."""

    live: str
    trial: str | None
    available: tuple[str, ...]


def read_answer(raw: Object) -> Answer:
    hits = tuple(
        _read(Hit, hit, ranks=_maybe(Ranks, hit.get("ranks")), scores=_maybe(Scores, hit.get("scores")))
        for hit in raw["hits"]
    )
    return _read(Answer, raw, hits=hits, timings=_read(Timings, raw["timings"]))


def read_answers(raw: Object) -> list[Answer | ClientError]:
    """An error in the place of each query that failed."""
    return [refused(part["error"]) if "error" in part else read_answer(part) for part in raw["answers"]]


def read_applications(raw: Object) -> dict[str, Application]:
    return {
        name: _read(Application, row, wanted=_maybe(Release, row.get("wanted")), trial=_maybe(Trial, row.get("trial")))
        for name, row in raw.items()
    }


def read_compositions(raw: Object) -> Compositions:
    return _read(Compositions, raw, available=tuple(raw["available"]))


def refused(problem: Object) -> ClientError:
    """The error that an RFC 9457 problem describes."""
    named = [f"{part.get('field')}: {part.get('problem')}" for part in problem.get("problems", ())]
    parts = [f"{problem['status']} {problem.get('title', '')}", str(problem.get("detail", "")), *named]
    error = ClientError("; ".join(part for part in parts if part))
    error.status, error.problem = int(problem["status"]), dict(problem)
    wait = problem.get("retry_after")
    error.retry_after_s = float(wait) if isinstance(wait, int | float) else None
    return error


def _maybe(kind: type[T], raw: Object | None) -> T | None:
    return None if raw is None else _read(kind, raw)


def _read(kind: type[T], raw: Object, **parts: Any) -> T:
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in raw.items() if name in names} | parts)
