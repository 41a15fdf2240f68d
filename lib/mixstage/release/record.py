"""What the registry remembers: pins, the releases that set them, and what can be undone."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from mixstage.composition import Composition
from mixstage.plan.stages import Component
from mixstage.store.plain import Json

# What a row can say of another pin without making it live: it answers a share of the users (canary), it answers unseen
# copies of their queries (shadow), or its hits are woven into those of the live one (interleave).
TRIALS = ("canary", "shadow", "interleave")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One retriever of a pin, with the generation that it searches."""

    generation: str
    retriever: str | None  # digest of the checkpoint that encoded the generation; None: BM25
    weight: float | None = None  # of its votes in a weighted fusion; None: it votes by reciprocal rank, or stands alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Fusion:
    """Several retrievers whose rankings are fused into one by `mixstage.evaluation.fusion.fuse_rankings`."""

    members: tuple[Member, ...]
    constant: int
    depth: int  # documents that each member contributes, and that the fusion keeps

    @property
    def weights(self) -> tuple[float, ...]:
        """The members' weights, in their order; empty where they vote by reciprocal rank."""
        return tuple(member.weight for member in self.members if member.weight is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """What an application is served with: a composition and the artifacts behind its names."""

    composition: Composition
    corpus: str
    generation: str  # empty with a fusion: an older reader then finds nothing to serve, instead of one member alone
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
        theirs = other.composition
        if component == "retriever":
            return replace(
                self,
                composition=replace(self.composition, retriever=theirs.retriever),
                corpus=other.corpus,
                generation=other.generation,
                retriever=other.retriever,
                fusion=other.fusion,
            )
        changed = replace(self.composition, reranker=theirs.reranker, mix=theirs.mix)
        return replace(self, composition=changed, reranker=other.reranker)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Why a release was written, and by whom."""

    verdict: str | None = None  # of the report's test on the pinned composition; None: it was not tested
    author: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A row of the registry: the `number`-th release of an application; the row before it is `number - 1`."""

    application: str
    number: int
    action: str  # promote | rollback [component] | failed | end | one of TRIALS
    pin: Pin
    note: Note
    created: datetime
    share: float | None = None  # of a trial: the part of the users, 0 to 1, that it concerns

    @property
    def is_trial(self) -> bool:
        return self.action in TRIALS

    def to_json(self) -> dict[str, Json]:
        """The row as plain data: the composition by its name, with its depth, mix and k beside it."""
        composition = self.pin.composition
        return {
            "application": self.application,
            "number": self.number,
            "previous": self.number - 1 or None,
            "action": self.action,
            "share": self.share,
            **asdict(self.pin),
            "composition": str(composition),
            "depth": composition.depth,
            "mix": composition.mix,
            "k": composition.k,
            **asdict(self.note),
            "created": self.created.isoformat(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where an application stands: what is wanted, what its users get, and what is tried on them."""

    wanted: Release  # its newest row that is not a trial
    served: Release | None  # the newest such row whose components were seen answering; None: none was yet
    trial: Release | None  # its newest row, if that is a trial
    tried: bool  # whether the trial's components were seen answering

    @property
    def active_trial(self) -> Release | None:
        return self.trial if self.tried else None


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
        """This layer with the component that it had before; None if it had no other."""
        stack = self.retrievers if component == "retriever" else self.rerankers
        if len(stack) < 2:
            return None
        pin = self.pin.with_component(component, stack[-2])
        if component == "retriever":
            return replace(self, pin=pin, retrievers=stack[:-1])
        return replace(self, pin=pin, rerankers=stack[:-1])


def undo_stack(history: Sequence[Release]) -> list[Layer]:
    """Layers from the first release to the live one.

    A promotion adds one, a rollback takes the top away, a rollback of one component amends the top, a failure undoes
    the last of these. Trials and their ends change nothing.
    """
    stack: list[Layer] = []
    earlier = stack
    for release in history:
        if release.action == "failed":
            stack = earlier
        elif release.action == "promote" or release.action.startswith("rollback"):
            earlier, stack = stack, _after(stack, release)
    return stack


def _after(stack: list[Layer], release: Release) -> list[Layer]:
    if release.action == "rollback":
        return stack[:-1]
    if release.action == "promote":
        top = stack[-1].under(release.pin) if stack else Layer(release.pin, (release.pin,), (release.pin,))
        return [*stack, top]
    component: Component = "retriever" if release.action.endswith("retriever") else "reranker"
    return [*stack[:-1], before(stack, component) or stack[-1]]


def standing(history: Sequence[Release], answering: Collection[int]) -> Standing | None:
    """Where an application stands after its rows, oldest first.

    answering: numbers of the rows whose components were seen answering. Returns None for an application without a row.
    """
    pinning = [release for release in history if not release.is_trial]
    if not pinning:
        return None
    served = next((release for release in reversed(pinning) if release.number in answering), None)
    trial = history[-1] if history[-1].is_trial else None
    return Standing(
        wanted=pinning[-1], served=served, trial=trial, tried=trial is not None and trial.number in answering
    )


def before(stack: Sequence[Layer], component: Component | None) -> Layer | None:
    """The layer that a rollback leads to: the one below the top, or the top with the component that it had before.

    None if there is none.
    """
    if component is not None:
        return stack[-1].undone(component) if stack else None
    return stack[-2] if len(stack) > 1 else None


def _same(component: Component, one: Pin, other: Pin) -> bool:
    return one.with_component(component, other) == one
