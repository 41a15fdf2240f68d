"""Winner and incumbent side by side for one application: the gap, the losses, the lists, and what clouds them."""

from dataclasses import asdict
from typing import Any

import polars as pl

from mixstage.composition import Composition
from mixstage.evaluation.grid import retrieved_ranks
from mixstage.insight.attribution import Values, attribute, interaction
from mixstage.insight.evidence import Evidence, Sources
from mixstage.insight.final_lists import final_list, top_documents
from mixstage.insight.holes import TOP, compare_holes, labelling_queue
from mixstage.insight.holes_effect import CORRELATED, sensitivity
from mixstage.insight.intervals import t_interval
from mixstage.insight.loss_split import ceiling, depth_curve, split_loss
from mixstage.insight.power import TIE_LIMIT, detectable, queries_needed, tie_effect, tie_rate
from mixstage.insight.wins import Answered, extremes, win_loss
from mixstage.measures import parse_measure

SHOWN = 20  # queries won, and as many lost
_SIDES = ("winner", "incumbent")


def values_of(rows: pl.DataFrame, measure: str) -> Values:
    """One measure of every composition, (n,) in the order of the query ids; rows: one application's of a grid's split,
    composition after composition, each with all queries."""
    names = rows["composition"].unique(maintain_order=True)
    cells = rows[measure].to_numpy().reshape(len(names), -1)
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
