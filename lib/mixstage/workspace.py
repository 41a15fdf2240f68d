"""What every phase works in: a plan, the store that keeps what is made of it, and who is told how far it is."""

from dataclasses import dataclass

from mixstage.plan.schema import Plan
from mixstage.progress import Progress
from mixstage.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A plan at work. Once its data is prepared, `corpus.prepare.Prepared` is the same with its corpora and
    applications.

    What a phase makes of a recipe it takes from `store.made`: found where an earlier run, or another plan, made it.
    """

    plan: Plan
    store: Store
    progress: Progress
