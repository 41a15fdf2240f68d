"""From a composition's name to a pin whose parts were checked."""

import argparse

from mixstage.composition import Composition
from mixstage.errors import ReleaseError, unknown_name
from mixstage.evaluation.fusion import members_of
from mixstage.pipeline import Pipeline
from mixstage.plan.schema import Plan
from mixstage.release.pins import make_pin, replay_golden
from mixstage.release.record import Pin


def pin_of(pipeline: Pipeline, application: str, composition: Composition) -> Pin:
    """The pin of a composition; the phases before are run if anything is missing.

    Raises InputError or ReleaseError for names that the plan lacks, and for parts that do not belong together.
    """
    plan = pipeline.plan
    refuse_unknown(plan, application)
    known = [*pipeline.retrievers, *plan.grid.fusions]
    if composition.retriever not in known:
        raise ReleaseError(f"no retriever {composition.retriever!r}: there are {', '.join(known)}")
    corpus = plan.applications[application].corpus
    members = members_of(plan.grid, composition.retriever)
    retrievers = [(pipeline.generations[corpus, name], pipeline.retrievers[name]) for name in members]
    rerankers = pipeline.curriculum.rerankers
    return make_pin(plan.grid, composition, pipeline.prepared.corpora[corpus], retrievers, rerankers, pipeline.report)


def check_golden(pipeline: Pipeline, composition: Composition) -> None:
    """Opens the composition's checkpoints as a server will; raises ModelError if one drifted."""
    members = members_of(pipeline.plan.grid, composition.retriever)
    rerankers = pipeline.curriculum.rerankers
    replay_golden([pipeline.retrievers[name] for name in members], rerankers.get(composition.reranker))


def refuse_unknown(plan: Plan, application: str) -> None:
    """Raises InputError for an application that the plan does not have."""
    if application not in plan.applications:
        raise unknown_name("application", application, plan.applications)


def refuse_silent_force(options: argparse.Namespace) -> None:
    """Raises ReleaseError for --force without --why."""
    if options.force and not options.why.strip():
        raise ReleaseError("--force needs --why: the reason is kept with the release")
