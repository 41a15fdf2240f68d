"""The walk through the phases: each is computed from the artifacts of the ones before, or taken from the store.

Every job takes what it needs from here. What exists is read by its content address, what is missing is built: rerun is
resume, and a killed run goes on where it stopped.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

from mixstage.cluster import is_joined
from mixstage.connection import connect_when_needed
from mixstage.corpus.prepare import Prepared, prepare
from mixstage.errors import PlanError
from mixstage.evaluation.grid import Grid, evaluate_grid
from mixstage.evaluation.index_loss import IndexLoss, measure_served
from mixstage.evaluation.latency import Cost, measure_cost
from mixstage.evaluation.rankings import Ranking, rank_all
from mixstage.index.generation import Generation
from mixstage.index.indexer import Indexer, Key
from mixstage.insight.analyses import find_analyses
from mixstage.models.checkpoint import RetrieverModel
from mixstage.models.lexical import BM25
from mixstage.plan.schema import Plan
from mixstage.progress import Progress
from mixstage.report.report import Report, write_report
from mixstage.selection.select import Choice, select
from mixstage.store.store import Store
from mixstage.training.curriculum import Curriculum
from mixstage.workspace import Workspace

# How kinds of artifacts are called where their folder's name with an "s" is not the word.
_PLURALS = {"corpus": "corpora", "index loss": "index losses", "set of samples": "sets of samples", "index": "indexes"}
_WORDS = {"generation": "index", "samples": "set of samples", "served": "index loss"}


@dataclass(frozen=True)
class Pipeline:
    """A plan's phases as properties, each computed once.

    >>> pipeline = Pipeline.of(load_plan("plan.yaml"))
    >>> pipeline.plan.name
    'mine'
    >>> pipeline.report.path  # what the store lacks is prepared, trained, indexed, evaluated  # doctest: +SKIP
    '/data/store/report/6b0d4c1f8f0a7c9e2d415360'
    """

    plan: Plan
    store: Store
    progress: Progress
    _taken: dict[str, Counter[tuple[str, bool]]] = field(default_factory=dict, repr=False)  # phase -> (kind, built)

    @classmethod
    def of(cls, plan: Plan, progress: Progress | None = None) -> Self:
        """The plan's pipeline over the plan's store; Ray is joined or started when the first work is spread.

        progress: what prints the phases; unset: standard output. Raises PlanError for an analysis of the report that
        nobody provides, before hours of work lead to it, and for a relative store where RAY_ADDRESS names a cluster:
        the other nodes would not see it.
        """
        find_analyses(plan)
        if is_joined() and "://" not in plan.store and not Path(plan.store).is_absolute():
            raise PlanError(
                f"store {plan.store!r} is relative: on a cluster each node has its own; "
                "use --set store=s3://bucket/prefix, or an absolute path that all nodes share"
            )
        connect_when_needed()
        return cls(plan, Store(plan.store, plan.resolved()), progress or Progress())

    @contextmanager
    def _phase(self, name: str, *, ends: bool = True) -> Iterator[None]:
        """Times a part of a phase. With its last part a line says what was built, what was found, and the seconds."""
        before = len(self.store.taken)
        with self.progress.phase(name):
            yield
        taken = self._taken.setdefault(name, Counter())
        taken.update((kind, built) for (kind, _), built in [*self.store.taken.items()][before:])
        if ends and taken:
            self.progress.say(f"{name}: {_counted(taken)}; {self.progress.seconds[name]:.1f} s")

    @cached_property
    def prepared(self) -> Prepared:
        with self._phase("prepare"):
            return prepare(Workspace(plan=self.plan, store=self.store, progress=self.progress))

    @cached_property
    def curriculum(self) -> Curriculum:
        curriculum = Curriculum(prepared=self.prepared)
        with self._phase("train"):
            curriculum.train()
        return curriculum

    @property
    def retrievers(self) -> dict[str, RetrieverModel]:
        """Everything that has an index: stage -> checkpoint, and BM25 if the grid or a fusion asks it.

        The members of fusions are among these (`members_of`).
        """
        grid = self.plan.grid
        lexical = grid.bm25 or any("bm25" in fusion.of for fusion in grid.fusions.values())
        return {**self.curriculum.retrievers, **({"bm25": BM25} if lexical else {})}

    @property
    def indexer(self) -> Indexer:
        return Indexer(prepared=self.prepared)

    @cached_property
    def generations(self) -> dict[Key, Generation]:
        """(corpus, retriever) -> generation."""
        retrievers = self.retrievers
        with self._phase("index"):
            return self.indexer.index_all(retrievers)

    @cached_property
    def rankings(self) -> dict[Key, Ranking]:
        """(application, retriever) -> what it finds for dev and test queries, by exact search."""
        self.generations  # noqa: B018 (built first, so that each phase has its own time)
        with self._phase("evaluate", ends=False):
            return rank_all(self.indexer, self.retrievers)

    @cached_property
    def served(self) -> IndexLoss | None:
        """What the served index costs against exact search; None if exact search is what is served."""
        rankings = self.rankings
        with self._phase("evaluate", ends=False):
            return measure_served(self.indexer, self.retrievers, rankings)

    @cached_property
    def cost(self) -> Cost:
        """The time of an answer, part by part."""
        generations, rankings = self.generations, self.rankings
        with self._phase("evaluate", ends=False):
            return measure_cost(self.indexer, self.retrievers, generations, rankings, self.curriculum.rerankers)

    @cached_property
    def grid(self) -> Grid:
        rankings = self.rankings
        with self._phase("evaluate"):
            rerankers = self.curriculum.rerankers
            return evaluate_grid(self.prepared, rankings, rerankers)

    @cached_property
    def choice(self) -> Choice:
        cost, grid = self.cost, self.grid  # in this order: the grid ends its phase
        with self._phase("select", ends=False):
            return select(self.plan, self.store, grid, cost)

    @cached_property
    def report(self) -> Report:
        """report.json, report.html and report.md, written after the choice was published."""
        served, choice, grid, cost = self.served, self.choice, self.grid, self.cost
        with self._phase("select"):
            return write_report(self.plan, self.store, grid, choice, self.curriculum, served, cost)


def _counted(taken: Counter[tuple[str, bool]]) -> str:
    """(kind, whether it was built) -> how many, as words: "built 1 corpus; found 2 applications"."""
    parts = []
    for verb, wanted in (("built", True), ("found", False)):
        counts = [_amount(count, _WORDS.get(kind, kind)) for (kind, built), count in taken.items() if built == wanted]
        parts += [f"{verb} {', '.join(counts)}"] if counts else []
    return "; ".join(parts)


def _amount(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {_PLURALS.get(word, word + 's')}"
