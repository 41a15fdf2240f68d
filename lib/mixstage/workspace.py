"""What every phase works in: a plan, the store of its artifacts, and the progress that a user sees."""

from dataclasses import dataclass

from mixstage.plan.schema import Plan
from mixstage.progress import Progress
from mixstage.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A plan at work. `corpus.prepare.Prepared` adds its corpora and applications, once they are read.

    A phase takes each artifact from `store.made`, which builds it unless an earlier run, or another plan, has done so.
    """

    plan: Plan
    store: Store
    progress: Progress
