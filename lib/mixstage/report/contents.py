"""What a report tells, as values: report.json, the page and the note are written from them."""

from dataclasses import dataclass, fields

from mixstage.composition import Composition
from mixstage.evaluation.race import RaceNotes
from mixstage.insight.explain import Why
from mixstage.pairs.cost import GridCost
from mixstage.plan.schema import Plan
from mixstage.plan.stages import Component
from mixstage.report.training import Stage
from mixstage.selection.bias import Gain
from mixstage.selection.choose import Decision
from mixstage.selection.forgetting import Flag
from mixstage.selection.front import Priced
from mixstage.selection.operating import OperatingPoint
from mixstage.selection.select import Against
from mixstage.selection.sharing import Sharing
from mixstage.selection.verdict import Ruling
from mixstage.store.plain import Json, JsonObject, plain

Notes = JsonObject  # what another room noted in its artifact, kept in report.json as it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """What the costs in milliseconds were measured on."""

    machine: str
    queries: dict[str, int]  # application -> dev queries


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One retriever by one measure, through exact search and through the index that is served."""

    split: str
    application: str
    retriever: str
    measure: str
    exact: float
    served: float
    recall: float  # of exact search's first ten


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where the report was written."""

    processor: str
    python: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Everything that the report says of one run."""

    plan: Plan
    choice: Decision
    gain: Gain | None  # of the winner on dev queries that did not choose
    table: list[Notes]  # every composition against the incumbent: `table.Row` and `Posterior.row`
    verdict: Ruling
    confirmation: dict[str, dict[str, Against]]  # split -> rival's role -> the winner against it
    why: Why | None  # None: what it is read from has left the store
    sharing: Sharing
    front: dict[str, list[Priced]]  # OVERALL and applications
    timed: Timed | None
    operating_points: list[OperatingPoint]
    digests: dict[str, str]  # artifact -> digest
    queries: dict[str, dict[str, int]]  # split -> application -> judged queries
    pairs: GridCost
    race: RaceNotes | None
    served: list[Served]  # empty: exact search is served
    forgetting: list[Flag]
    training: dict[Component, dict[str, Stage]]
    machine: Machine
    libraries: dict[str, str]  # name -> version

    @property
    def winner(self) -> Composition:
        return self.choice.winner

    def to_json(self) -> dict[str, Json]:
        """The object of report.json; the gain stands with the choice."""
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        choice = self.choice.to_json() | {"gain": plain(content.pop("gain"))}
        return {
            name: plain(value) for name, value in (content | {"plan": self.plan.resolved(), "choice": choice}).items()
        }
