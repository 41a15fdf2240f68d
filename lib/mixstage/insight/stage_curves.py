"""The stages of a plan: what each brings to an application, each step against the stage before, and whether recall
foretells the end result."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mixstage.composition import Composition
from mixstage.insight.attribution import Values
from mixstage.plan.schema import Plan
from mixstage.stats.bootstrap import Floats
from mixstage.stats.paired import Paired, t_interval

BASE = "base"  # the stage that every curriculum starts from


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePoint:
    """One stage of one component for one application."""

    stage: str
    mean: float
    step: Paired | None  # this stage minus the one before it, paired by query; None for the first


def stage_curve(values: Mapping[str, Floats], confidence: float) -> list[StagePoint]:
    """stage -> (n,) values of the same queries, in the order of the stages: a point a stage."""
    names = list(values)
    points = []
    for place, name in enumerate(names):
        step = t_interval(values[name] - values[names[place - 1]], confidence) if place else None
        points.append(StagePoint(stage=name, mean=float(values[name].mean()), step=step))
    return points


def kendall_tau(left: Sequence[float], right: Sequence[float]) -> float | None:
    """Tau-b of two equally long lists (Kendall, 1945); None if one of them is constant or shorter than 2."""
    from scipy.stats import kendalltau  # half a second to import, for this one number

    if len(set(left)) < 2 or len(set(right)) < 2:
        return None
    return float(kendalltau(left, right).statistic)


def best_of_retrievers(values: Values) -> dict[str, Composition]:
    """retriever -> its composition with the highest mean, the oracle aside; of equals the first of the grid."""
    best: dict[str, Composition] = {}
    for composition, row in values.items():
        kept = best.get(composition.retriever)
        if composition.is_servable and (kept is None or row.mean() > values[kept].mean()):
            best[composition.retriever] = composition
    return best


def deepest_recall(measures: list[str]) -> str | None:
    """The R@k with the greatest k; None if recall is not among the measures."""
    recalls = [name for name in measures if re.fullmatch(r"R@\d+", name)]
    return max(recalls, key=lambda name: int(name[2:]), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCurves:
    """What the stages of both components bring to an application."""

    retrievers: list[StagePoint]  # alone, by recall
    end_to_end: list[StagePoint]  # each retriever's best composition
    rerankers: list[StagePoint]  # alone, on the same candidates
    tau: float | None  # agreement of the first two, see `kendall_tau`


def component_curves(plan: Plan, dev: Values, test: Values, recall: Values) -> StageCurves:
    """Curves of both components on test, and the agreement of retrievers' recall with what they reach in the end.

    test, dev: the application's metric; recall: the retrievers' measure on test, of compositions without a reranker
    at the ranking depth. "end to end" takes each retriever's best composition by dev. Rerankers are compared alone,
    on the same candidates: the base retriever's at the grid's largest depth.
    """
    best, bare = best_of_retrievers(dev), _bare(plan, recall)
    final = {name: test[composition] for name, composition in best.items()}
    deepest = max(plan.grid.depths)
    alone = {c.reranker: row for c, row in test.items() if (c.retriever, c.depth, c.mix) == (BASE, deepest, 1)}
    retrievers, rerankers = [BASE, *plan.retriever.stages], [BASE, *plan.reranker.stages]
    confidence = plan.selection.confidence
    return StageCurves(
        retrievers=_curve(bare, retrievers, confidence),
        end_to_end=_curve(final, retrievers, confidence),
        rerankers=_curve(alone, rerankers, confidence),
        tau=kendall_tau(*([float(rows[name].mean()) for name in bare] for rows in (bare, final))),
    )


def _bare(plan: Plan, recall: Values) -> dict[str, Floats]:
    depth = plan.grid.ranking_depth
    return {c.retriever: row for c, row in recall.items() if c.reranker == "none" and c.depth == depth}


def _curve(values: Mapping[str, Floats], stages: list[str], confidence: float) -> list[StagePoint]:
    return stage_curve({name: values[name] for name in stages if name in values}, confidence)
