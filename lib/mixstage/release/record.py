"""What the registry remembers: pins, the releases that set them, and what can be undone."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from mixstage.composition import Composition
from mixstage.stage_plan import Component


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A retriever that a query asks."""

    generation: str
    retriever: str | None  # the checkpoint that made the generation; None is BM25
    weight: float | None = None  # of its votes in a weighted fusion; None: it votes by reciprocal rank, or stands alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Fusion:
    """Several retrievers as one: see `mixstage.evaluation.fusion.fuse_rankings`."""

    members: tuple[Member, ...]
    constant: int
    depth: int  # documents that each member contributes, and that the fusion keeps

    @property
    def weights(self) -> tuple[float, ...]:
        """One a member, in their order; empty for reciprocal rank."""
        return tuple(member.weight for member in self.members if member.weight is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """What an application is served with: a composition and the artifacts behind its names."""

    composition: str
    corpus: str
    generation: str  # empty with a fusion: whoever knows none finds nothing to serve, instead of one member alone
    retriever: str | None
    reranker: str | None
    report: str
    fusion: Fusion | None = None

    @property
    def members(self) -> tuple[Member, ...]:
        """The retrievers that a query asks: one, or those of the fusion."""
        if self.fusion is not None:
            return self.fusion.members
        return (Member(generation=self.generation, retriever=self.retriever),)

    def with_component(self, component: Component, other: "Pin") -> "Pin":
        """This pin with the retriever (and what it searches) or the reranker (and its weight) of another."""
        mine, theirs = Composition.parse(self.composition), Composition.parse(other.composition)
        if component == "retriever":
            changed = replace(mine, retriever=theirs.retriever)
            return replace(
                self,
                composition=str(changed),
                corpus=other.corpus,
                generation=other.generation,
                retriever=other.retriever,
                fusion=other.fusion,
            )
        changed = replace(mine, reranker=theirs.reranker, mix=theirs.mix)
        return replace(self, composition=str(changed), reranker=other.reranker)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Why a release was made."""

    verdict: str | None = None  # of the report's test on the pinned composition; None: it was not tested
    author: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One row: the `number`-th release of an application; the row before it is `number - 1`."""

    application: str
    number: int
    action: str
    pin: Pin
    note: Note
    created: datetime

    def to_json(self) -> dict[str, Any]:
        """The row as plain data, depth, mix and k read out of the composition's name."""
        composition = Composition.parse(self.pin.composition)
        return {
            "application": self.application,
            "number": self.number,
            "previous": self.number - 1 or None,
            "action": self.action,
            **asdict(self.pin),
            "depth": composition.depth,
            "mix": composition.mix,
            "k": composition.k,
            **asdict(self.note),
            "created": self.created.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class Layer:
    """A release that a rollback may come back to, and what its components were before."""

    pin: Pin
    retrievers: tuple[Pin, ...]  # pins that brought each retriever, oldest first, the live one's last
    rerankers: tuple[Pin, ...]

    def under(self, pin: Pin) -> "Layer":
        """The layer that a promotion of `pin` puts on this one."""
        return Layer(
            pin,
            self.retrievers if _same("retriever", self.pin, pin) else (*self.retrievers, pin),
            self.rerankers if _same("reranker", self.pin, pin) else (*self.rerankers, pin),
        )

    def undone(self, component: Component) -> "Layer | None":
        """With the component that it had before, None if it had no other."""
        stack = self.retrievers if component == "retriever" else self.rerankers
        if len(stack) < 2:
            return None
        pin = self.pin.with_component(component, stack[-2])
        if component == "retriever":
            return replace(self, pin=pin, retrievers=stack[:-1])
        return replace(self, pin=pin, rerankers=stack[:-1])


def undo_stack(history: Sequence[Release]) -> list[Layer]:
    """Layers from the first to the live one: a promotion adds one, a rollback takes the top away, one of a component
    amends the top."""
    stack: list[Layer] = []
    for release in history:
        if release.action == "rollback":
            stack.pop()
        elif release.action == "promote":
            stack.append(stack[-1].under(release.pin) if stack else Layer(release.pin, (release.pin,), (release.pin,)))
        else:
            stack[-1] = before(stack, "retriever" if release.action.endswith("retriever") else "reranker") or stack[-1]
    return stack


def before(stack: Sequence[Layer], component: Component | None) -> Layer | None:
    """The layer that a rollback leads to: the one below the top, or the top with the component that it had before.

    None if there is none.
    """
    if component is not None:
        return stack[-1].undone(component) if stack else None
    return stack[-2] if len(stack) > 1 else None


def _same(component: Component, one: Pin, other: Pin) -> bool:
    return one.with_component(component, other) == one
