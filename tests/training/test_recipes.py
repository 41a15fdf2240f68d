"""What a stage is found by stays: digests of the shipped plans' rounds, with stand-ins for data and models."""

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from mixstage.corpus.prepare import Prepared
from mixstage.corpus.tables import Application, Corpus
from mixstage.models.checkpoint import Checkpoint
from mixstage.plan.load import load_plan
from mixstage.plan.stages import Component
from mixstage.progress import Progress
from mixstage.store.store import Artifact, Store, digest_of
from mixstage.training.curriculum import Curriculum
from mixstage.training.round import Round

PLANS = Path(__file__).resolve().parent.parent.parent / "jobs" / "plans"
A = TypeVar("A", bound=Artifact)
COMPONENTS: tuple[Component, ...] = ("retriever", "reranker")
# plan, component, stage, round -> digest of the round's recipe, and of its samples'
PINNED = {
    "sample retriever broad 0": ("a159b23ea7233136dd9bbf32", "a2d8f17fdb8581bd5b482f68"),
    "sample retriever refine 0": ("c3da9de179f82cd1dde71523", "4a5a3234532fa14e6a310ded"),
    "sample retriever robust 0": ("71ef291d81d946d559df7851", "6457cdc892d8e602208be513"),
    "sample retriever robust 1": ("bb3aae8b151c1dd0371d23e9", "6457cdc892d8e602208be513"),
    "sample reranker broad 0": ("57a0e84cd230fbec927875ab", "8073158ac390dcbd778d8dba"),
    "sample reranker refine 0": ("ed88887c09118d2bfe86892b", "17f7b91faea1783e70a5faf8"),
    "sample reranker robust 0": ("895dd1fa2a2062adcdf48083", "741bf4793553df6ddbf020e3"),
    "two_phase retriever pretrain 0": ("72d5150eac7007827538c4b2", "1978bc659b362700b731d2b9"),
    "two_phase retriever easy 0": ("0ad792fb1fd95d43f06ede3b", "e79f571bc8361561c236657e"),
    "two_phase retriever hard 0": ("87a6e41234193887dafa60c7", "5c1002841f81b5dc96ec7172"),
    "two_phase reranker broad 0": ("c1859c1fa98c21ea8264ef7d", "604c2bbda78e1f49dff0f170"),
    "label_names retriever labels 0": ("ea961ab23fb5d82879dba6a7", "a924361171faac100cba939c"),
    "label_names retriever again 0": ("46d28dbbf0fef277c65ada23", "959aa35e48332de79f1c479d"),
    "label_names reranker labels 0": ("59312e8aa82aac7ac190a0fc", "808aac57f11ab380a719409c"),
}


def digests(name: str, store: Store) -> dict[str, tuple[str, str]]:
    plan = load_plan(PLANS / f"{name}.yaml")

    def stand_in(kind: type[A], key: str, **meta: str) -> A:
        return store.draft(kind, {"stands for": key}).publish(meta)

    models = {
        component: {
            stage: stand_in(Checkpoint, f"{component}:{stage}", fingerprint=f"{component}:{stage}")
            for stage in ("base", *getattr(plan, component).stages)
        }
        for component in COMPONENTS
    }
    prepared = Prepared(
        plan=plan,
        store=store,
        progress=Progress(),
        corpora={key: stand_in(Corpus, key) for key in plan.corpora},
        applications={key: stand_in(Application, key) for key in plan.applications},
    )
    curriculum = Curriculum(
        prepared=prepared,
        retrievers=models["retriever"],
        rerankers=models["reranker"],
    )
    found = {}
    for component in COMPONENTS:
        for key, stage in getattr(plan, component).stages.items():
            parent = models[component][stage.from_]
            first = Round(prepared=prepared, component=component, name=key, stage=stage, parent=parent, miner=parent)
            for number in range(stage.rounds() if stage.soup is None else 0):
                this = replace(first, number=number)
                recipe = curriculum.recipe(this)
                found[f"{name} {component} {key} {this.number}"] = (digest_of(recipe), recipe["samples"])
    return found


@pytest.mark.parametrize("name", ["sample", "two_phase", "label_names"])
def test_a_shipped_plans_rounds_are_found_by_the_digests_that_they_always_had(name: str, store: Store) -> None:
    assert digests(name, store) == {key: pair for key, pair in PINNED.items() if key.startswith(f"{name} ")}
