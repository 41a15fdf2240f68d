"""Forgetting: stages against their parents, on a grid made by hand."""

import shutil
from typing import Any

import polars as pl
import pytest

from mixstage.models.checkpoint import Checkpoint
from mixstage.plan.load import parse_plan
from mixstage.plan.schema import Plan
from mixstage.selection.forgetting import Flag, find_forgetting, forgotten, lineage
from mixstage.store.store import Store

Row = tuple[str, str, str, float]  # application, composition as retriever@depth, reranker, value
MEASURES = ("nDCG@10", "RR@10", "R@20", "R@60", "R@100")


def plan(**selection: Any) -> Plan:
    return parse_plan(
        {
            "name": "t",
            "corpora": {"c": {"source": "x"}},
            "applications": {
                "a": {"corpus": "c", "source": "x"},
                "b": {"corpus": "c", "source": "x", "metric": "MRR@10"},
            },
            "retriever": {"stages": {"broad": {}, "refine": {"from": "broad"}}},
            "grid": {"depths": [10, 20], "ranking_depth": 100},
            "selection": selection,
        }
    )


def means(*rows: Row, measures: tuple[str, ...] = MEASURES, mix: float = 1.0) -> pl.DataFrame:
    """A row each; every measure has the row's value plus a hundredth of its place, so that mistaken ones show."""
    told = []
    for application, retriever, reranker, value in rows:
        name, _, depth = retriever.partition("@")
        values = {measure: value + place / 100 for place, measure in enumerate(measures)}
        parts = {"retriever": name, "depth": int(depth), "reranker": reranker, "mix": mix}
        told.append({"application": application, **parts, **values})
    return pl.DataFrame(told)


@pytest.fixture
def stage(store: Store) -> Any:
    """Publishes a checkpoint that consists of its notes."""

    def publish(name: str, parent: Checkpoint | None = None, recipe: Any = None, **notes: Any) -> Checkpoint:
        meta = {"stage": name, "fingerprint": f"print of {name}"}
        meta |= {} if parent is None else {"parent": parent.digest}
        return store.draft(Checkpoint, {"stage": name, **(recipe or {})}).publish({**meta, **notes})

    return publish


@pytest.fixture
def stages(stage: Any) -> dict[str, Checkpoint]:
    base = stage("base")
    broad = stage("broad", base)
    return {"base": base, "broad": broad, "refine": stage("refine", broad)}


def found(store: Store, stages: dict[str, Checkpoint], table: pl.DataFrame, **selection: Any) -> list[Flag]:
    return find_forgetting(plan(**selection), store, {"retriever": stages}, table)


def test_a_retriever_is_measured_alone_by_recall_at_60_at_the_ranking_depth(
    store: Store, stages: dict[str, Checkpoint]
) -> None:
    table = means(
        ("a", "base@100", "none", 0.5),
        ("a", "broad@100", "none", 0.6),
        ("a", "refine@100", "none", 0.57),  # below broad, above base
        ("b", "base@100", "none", 0.4),
        ("b", "broad@100", "none", 0.395),  # within .01
        ("b", "refine@100", "none", 0.7),
        ("b", "refine@20", "none", 0.1),  # another depth
        ("b", "refine@100", "broad", 0.1),  # not alone
    )
    (flag,) = found(store, stages, table)
    assert (flag.component, flag.stage, flag.parent) == ("retriever", "refine", "broad")
    assert (flag.application, flag.measure) == ("a", "R@60")
    assert (flag.before, flag.after) == pytest.approx((0.63, 0.60))


def test_a_loss_of_just_the_limit_is_no_flag(store: Store, stages: dict[str, Checkpoint]) -> None:
    table = means(("a", "base@100", "none", 0.5), ("a", "broad@100", "none", 0.49))
    assert 0.5 - 0.49 > 0.01  # in binary
    assert found(store, stages, table) == []
    assert len(found(store, stages, table, max_regression=0.0099)) == 1


@pytest.mark.parametrize(
    ("measures", "application", "expected"),
    [
        (("nDCG@10", "RR@10", "R@20", "R@100"), "a", "R@20"),  # both 40 away
        (("nDCG@10", "RR@10", "R@5", "R@100"), "a", "R@100"),
        (("nDCG@10", "RR@10", "Rprec"), "a", "nDCG@10"),
        (("nDCG@10", "RR@10"), "b", "RR@10"),  # the plan's MRR@10
    ],
)
def test_the_nearest_recall_that_the_grid_has_or_else_the_metric_decides(
    store: Store, stages: dict[str, Checkpoint], measures: tuple[str, ...], application: str, expected: str
) -> None:
    rows = (application, "base@100", "none", 0.5), (application, "broad@100", "none", 0.4)
    (flag,) = found(store, stages, means(*rows, measures=measures))
    assert flag.measure == expected


def test_a_reranker_is_measured_alone_on_the_base_retrievers_deepest_candidates(
    store: Store, stages: dict[str, Checkpoint]
) -> None:
    alone = means(
        ("a", "base@20", "base", 0.3),
        ("a", "base@20", "broad", 0.28),
        ("b", "base@20", "base", 0.3),
        ("b", "base@20", "broad", 0.3),
        ("b", "base@10", "broad", 0.1),  # shallower
        ("b", "broad@20", "broad", 0.1),  # another retriever
    )
    mixed = means(("b", "base@20", "broad", 0.1), mix=0.5)
    (flag,) = find_forgetting(plan(), store, {"reranker": stages}, pl.concat([alone, mixed]))
    assert (flag.component, flag.stage, flag.application, flag.measure) == ("reranker", "broad", "a", "nDCG@10")
    assert (flag.before, flag.after) == pytest.approx((0.3, 0.28))


def test_rounds_of_a_refreshed_stage_are_walked_to_the_stage_it_came_from(
    store: Store, stage: Any, stages: dict[str, Checkpoint]
) -> None:
    first = stage("robust", stages["refine"], {"round": 0}, fingerprint="half way")
    stages["robust"] = stage("robust", first, {"round": 1})
    line = lineage(store, stages, "robust")
    assert line.parents == ["refine"]
    assert [one.digest for one in line.rounds] == [first.digest, stages["robust"].digest]
    table = means(("a", "refine@100", "none", 0.5), ("a", "robust@100", "none", 0.4))
    assert [(flag.stage, flag.parent) for flag in found(store, stages, table)] == [("robust", "refine")]


def test_the_last_step_kept_beside_the_best_has_the_same_parent(
    store: Store, stage: Any, stages: dict[str, Checkpoint]
) -> None:
    stages["broad-last"] = stage("broad-last", stages["base"])
    assert lineage(store, stages, "broad-last").parents == ["base"]


def test_a_soup_is_compared_with_each_member(store: Store, stage: Any, stages: dict[str, Checkpoint]) -> None:
    of = [stages[name].meta["fingerprint"] for name in ("broad", "refine")]
    stages["mixed"] = stage("mixed", recipe={"of": of}, soup={"another": 0.5, "name": 0.5})
    table = means(
        ("a", "broad@100", "none", 0.5),
        ("a", "refine@100", "none", 0.52),
        ("a", "mixed@100", "none", 0.495),
    )
    assert lineage(store, stages, "mixed").rounds == []
    assert [(flag.stage, flag.parent) for flag in found(store, stages, table)] == [("mixed", "refine")]
    both = [flag.parent for flag in found(store, stages, table, max_regression=0)]
    assert both == ["broad", "refine"]


def test_base_has_no_parent_and_a_parent_that_left_the_store_is_none(store: Store, stage: Any) -> None:
    gone = stage("gone")
    stages = {"base": stage("base"), "lost": stage("lost", gone)}
    shutil.rmtree(gone.path)
    assert [lineage(store, stages, name).parents for name in stages] == [[], []]
    assert [len(lineage(store, stages, name).rounds) for name in stages] == [0, 1]
    assert found(store, stages, means(("a", "base@100", "none", 0.9), ("a", "lost@100", "none", 0.1))) == []


def test_a_checkpoint_of_another_plan_finds_its_parent_by_the_weights(
    store: Store, stage: Any, stages: dict[str, Checkpoint]
) -> None:
    elsewhere = stage("start", recipe={"plan": "another"}, fingerprint=stages["base"].meta["fingerprint"])
    stages["broad"] = stage("first", elsewhere)
    assert lineage(store, stages, "broad").parents == ["base"]


def test_a_stage_that_the_grid_lacks_is_left_out(store: Store, stages: dict[str, Checkpoint]) -> None:
    assert found(store, stages, means(("a", "broad@100", "none", 0.1))) == []


def test_an_application_is_named_once_for_a_stage_with_two_parents() -> None:
    def flag(parent: str, application: str) -> Flag:
        parts: dict[str, Any] = {"measure": "R@60", "before": 0.5, "after": 0.4}
        return Flag(component="retriever", stage="mixed", parent=parent, application=application, **parts)

    flags = [flag("broad", "b"), flag("broad", "a"), flag("refine", "b")]
    assert forgotten(flags) == {("retriever", "mixed"): ["b", "a"]}
