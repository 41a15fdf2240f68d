"""Everything that the report says about the reason why, from the published choice.

Winner and incumbent side by side for one application: the gap, the losses, the lists, and what clouds them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from mixstage.composition import Composition
from mixstage.corpus.prepare import Prepared
from mixstage.evaluation.board import retrieved_ranks
from mixstage.evaluation.compositions import matrix_of
from mixstage.evaluation.final_lists import final_list, top_documents
from mixstage.evaluation.grid import JUDGED, Grid
from mixstage.evaluation.rankings import EVALUATED
from mixstage.evaluation.stored_boards import Evidence, Sources, gather, open_sources
from mixstage.insight.anova import analyse
from mixstage.insight.attribution import Values, attribute, interaction
from mixstage.insight.confounds import measure_confounds, rank_without_query, read_traits
from mixstage.insight.holes import CORRELATED, TOP, compare_holes, hole_correlation, labelling_queue, sensitivity
from mixstage.insight.leaks import equal_documents, find_leaks, judged_everywhere, shared_documents
from mixstage.insight.losses import ceiling, depth_curve, split_loss
from mixstage.insight.other_candidates import union_bound
from mixstage.insight.power import TIE_LIMIT, tie_effect, tie_rate
from mixstage.insight.stage_curves import component_curves, deepest_recall
from mixstage.insight.wins import Answered, examples, extremes, win_loss
from mixstage.measures.measures import parse_measure
from mixstage.models.checkpoint import Checkpoint
from mixstage.plan.schema import Plan
from mixstage.stats.paired import t_interval
from mixstage.stats.power import detectable, queries_needed
from mixstage.store.store import Store
from mixstage.training.artifacts import Samples

SHOWN = 20  # queries won, and as many lost
_SIDES = ("winner", "incumbent")


def values_of(rows: pl.DataFrame, measure: str) -> Values:
    """One measure of every composition, (n,) in the order of the query ids; rows: one application's of a grid's split,
    composition after composition, each with all queries."""
    names = rows["composition"].unique(maintain_order=True)
    cells = matrix_of(rows, measure, len(names)).T
    return {Composition.parse(name): values for name, values in zip(names, cells, strict=True)}


def gap_parts(sources: Sources, values: Values) -> dict[str, Any]:
    """The gap, each exchanged part's share of it, and the interaction of retriever and reranker."""
    winner, incumbent = sources.compared
    confidence = sources.plan.selection.confidence
    shares, contrast = attribute(values, winner, incumbent), interaction(values, winner, incumbent)
    mixing = None if contrast is None else t_interval(contrast, confidence)
    return {
        "gap": t_interval(values[winner] - values[incumbent], confidence).to_json(),
        "shares": None if shares is None else {p: t_interval(s, confidence).to_json() for p, s in shares.items()},
        "interaction": None if mixing is None else mixing.to_json(),
        "interacts": None if mixing is None else mixing.excludes_zero,
    }


def losses(sources: Sources, application: str, values: Values, evidence: Evidence) -> dict[str, Any]:
    """Loss split and depth curve of winner and incumbent."""
    measure = parse_measure(sources.plan.applications[application].metric)
    confidence = sources.plan.selection.confidence
    splits, curves = {}, {}
    for side, composition in zip(_SIDES, sources.compared, strict=True):
        ranks, grades = retrieved_ranks(evidence.board, composition.retriever), evidence.board.grades
        tops = ceiling(ranks, grades, composition.depth, measure)
        split = split_loss(tops, values[composition], confidence)
        parts = ("achieved", "ceiling", "retrieval", "ranking")
        splits[side] = {part: getattr(split, part).to_json() for part in parts} | {"efficiency": split.efficiency}
        others = sorted(c for c in values if c.at_depth(composition.depth) == composition)
        curve = depth_curve(ranks, grades, measure, [(other.depth, values[other]) for other in others])
        curves[side] = [asdict(point) for point in curve]
    return {"losses": splits, "depths": curves}


def validity(sources: Sources, application: str, evidence: Evidence, correlation: float | None) -> dict[str, Any]:
    """Holes, ties, and what the number of queries can show. correlation: see `hole_correlation`."""
    plan, board = sources.plan, evidence.board
    measure, judged_share = parse_measure(plan.applications[application].metric), parse_measure(f"Judged@{TOP}")
    confidence = plan.selection.confidence
    lists = [final_list(board, composition) for composition in sources.compared]
    shares, (winner, incumbent) = ([one.values(listed.judged) for listed in lists] for one in (judged_share, measure))
    holes = compare_holes(shares[0], shares[1], confidence)
    only_relevant = not (evidence.judgements["grade"] == 0).any()
    ties = {
        side: {"rate": tie_rate(final_list(board, c), c.k), "effect": tie_effect(board, c, measure)}
        for side, c in zip(_SIDES, sources.compared, strict=True)
    }
    least, margin = detectable(winner - incumbent), plan.selection.max_regression
    return {
        "holes": {
            "winner": holes.winner,
            "incumbent": holes.incumbent,
            "difference": holes.difference.to_json(),
            "uneven": holes.is_uneven,
            "counted": sensitivity(board, sources.compared, measure, TOP, confidence),
            "correlation": correlation,
            "only_relevant_judged": only_relevant,
            "correlated": correlation is not None and abs(correlation) > CORRELATED and not only_relevant,
        },
        "ties": ties,
        "names_decide": any(abs(tie["effect"]) > TIE_LIMIT for tie in ties.values()),
        "queries": len(board.query_ids),
        "detectable": least,
        "few_queries": least is None or least > margin,
        "queries_needed": queries_needed(winner - incumbent, margin) if margin > 0 else None,
    }


def won_and_lost(sources: Sources, application: str, values: Values, evidence: Evidence) -> pl.DataFrame:
    """The greatest wins, then the greatest losses, see `win_loss`."""
    measure = parse_measure(sources.plan.applications[application].metric)
    board, sides = evidence.board, []
    for composition in sources.compared:
        ranks = retrieved_ranks(board, composition.retriever)
        sides.append(
            Answered(
                values=values[composition],
                ceilings=ceiling(ranks, board.grades, composition.depth, measure),
                ranks=final_list(board, composition).judged.ranks,
                grades=board.grades,
            )
        )
    return extremes(win_loss(board.query_ids, *sides), SHOWN)


def unjudged(sources: Sources, evidence: Evidence) -> pl.DataFrame:
    """The labelling queue of both top lists."""
    tops = [
        top_documents(evidence.board, final_list(evidence.board, composition), TOP) for composition in sources.compared
    ]
    return labelling_queue(tops[0], tops[1], evidence.judgements)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What was found, as plain data, and as tables under the names of their files."""

    data: dict[str, Any]  # JSON-serialisable
    tables: dict[str, pl.DataFrame]


def explain(
    plan: Plan,
    store: Store,
    prepared: Prepared,
    grid: Grid,
    compared: tuple[Composition, Composition],
    rerankers: Mapping[str, Checkpoint],
    trained: Sequence[Samples] = (),
) -> Explanation | None:
    """Why the winner, compared[0], differs from the incumbent, compared[1]; None if what it needs has left the store.
    trained: the samples that stages learned from, whose queries no split may hold.

    Means and intervals are of the test split: those of dev carry the luck of having been chosen there. The lists of
    won and lost queries are of dev: who works on what they show has not seen the test. The labelling queue is of test,
    since its holes cloud the verdict.
    """
    sources = open_sources(plan, store, prepared, grid, compared, rerankers)
    if sources is None:
        return None
    tables = {split: grid.table(split) for split in EVALUATED}
    judged = judged_everywhere(plan, prepared)
    traits = {name: read_traits(part, prepared.corpora[name]) for name, part in plan.corpora.items()}
    data: dict[str, Any] = {}
    won: list[pl.DataFrame] = []
    queue: list[pl.DataFrame] = []
    for name in plan.applications:
        own = {split: table.filter(pl.col("application") == name) for split, table in tables.items()}
        found = _application(sources, name, own, judged, traits[plan.applications[name].corpus])
        if found is None:
            return None
        tell = pl.lit(name).alias("application")
        data[name] = found.data
        won.append(found.tables["winloss"].select(tell, pl.all()))
        queue.append(found.tables["labelling"].select(tell, pl.all()))
    return Explanation(
        data={
            "winner": str(compared[0]),
            "incumbent": str(compared[1]),
            "applications": data,
            "won_and_lost": pl.concat(won).to_dicts(),
            "leaks": find_leaks(prepared, trained),
            "equal_documents": {name: asdict(equal_documents(part)) for name, part in prepared.corpora.items()},
        },
        tables={"winloss.parquet": pl.concat(won), "labelling.parquet": pl.concat(queue)},
    )


def _application(
    sources: Sources, name: str, rows: Mapping[str, pl.DataFrame], judged: pl.DataFrame, traits: pl.DataFrame
) -> Explanation | None:
    """rows: split -> the grid's table of this application; judged: all relevant judgements; traits: its documents'."""
    plan = sources.plan
    test, dev = gather(sources, name, "test", pooled=True), gather(sources, name, "dev")
    if test is None or dev is None:
        return None
    metric = str(parse_measure(plan.applications[name].metric))
    recall = deepest_recall([str(parse_measure(text)) for text in plan.grid.measures]) or metric
    values, chosen_by = values_of(rows["test"], metric), values_of(rows["dev"], metric)
    winner, incumbent = sources.compared
    gains = {
        split: (found.board.query_ids, cells[winner] - cells[incumbent])
        for split, found, cells in (("dev", dev, chosen_by), ("test", test, values))
    }
    queue, moved = unjudged(sources, test), won_and_lost(sources, name, chosen_by, dev)
    data = {
        "metric": metric,
        "recall": recall,
        **gap_parts(sources, values),
        **losses(sources, name, values, test),
        **validity(sources, name, test, hole_correlation(values, values_of(rows["test"], JUDGED))),
        "stages": component_curves(plan, chosen_by, values, values_of(rows["test"], recall)),
        **_components(sources, name, values, test),
        "shared": shared_documents(judged, name, gains),
        "confounds": _confounds(sources, name, values, test, judged, traits),
        "examples": examples(sources, name, moved, dev),
        "unjudged": len(queue),
    }
    return Explanation(data=data, tables={"winloss": moved, "labelling": queue})


def _components(sources: Sources, name: str, values: Values, test: Evidence) -> dict[str, Any]:
    """What the components' differences come from, and what other retrievers' candidates would bring."""
    winner, selection = sources.compared[0], sources.plan.selection
    measure = parse_measure(sources.plan.applications[name].metric)
    bound, anova = union_bound(test.board, winner, measure, selection.confidence), analyse(values, winner)
    return {"anova": anova.to_json() if anova else None, "union_bound": bound.to_json() if bound else None}


def _confounds(
    sources: Sources, name: str, values: Values, test: Evidence, judged: pl.DataFrame, traits: pl.DataFrame
) -> dict[str, Any]:
    known = judged.filter((pl.col("application") == name) & (pl.col("split") != "test"))["doc_id"]
    lists = rank_without_query(traits, known, sources.plan.grid.ranking_depth)
    measure = parse_measure(sources.plan.applications[name].metric)
    return measure_confounds(lists, test.judgements, measure, float(values[sources.compared[0]].mean()))
