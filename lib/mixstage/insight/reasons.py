"""Winner and incumbent in one application: the gap, the losses, the lists, and what clouds them."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from mixstage.composition import Composition
from mixstage.evaluation.board import final_list, retrieved_ranks, top_documents
from mixstage.evaluation.compositions import matrix_of
from mixstage.evaluation.grid import JUDGED
from mixstage.evaluation.stored_boards import Evidence, StoredBoards
from mixstage.insight.analyses import ANALYSES, analyse
from mixstage.insight.attribution import Values, attribute, interaction
from mixstage.insight.confounds import Confound, measure_confounds, rank_without_query
from mixstage.insight.finding import Analysis, Finding, Subject
from mixstage.insight.holes import TOP, Compared, Holes, hole_correlation, labelling_queue, sensitivity
from mixstage.insight.leaks import SharedDocuments, shared_documents
from mixstage.insight.losses import DepthPoint, LossSplit, ceiling, depth_curve, split_loss
from mixstage.insight.stage_curves import StageCurves, component_curves, deepest_recall
from mixstage.insight.ties import Ties, measure_ties
from mixstage.insight.wins import Answered, Example, examples, extremes, win_loss
from mixstage.measures.measures import Measure, parse_measure
from mixstage.plan.schema import Plan
from mixstage.stats.bootstrap import Floats
from mixstage.stats.paired import Paired, t_interval
from mixstage.stats.power import detectable, queries_needed
from mixstage.store.plain import Json, plain, plain_fields

SHOWN = 20  # queries won, and as many lost
COMPARED = ("winner", "incumbent")  # the two compositions, as the report names them


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasons:
    """Of one application, on test where nothing else is said. Keys of mappings: COMPARED, or as their makers say."""

    metric: str
    recall: str  # what the retrievers' stages are measured by
    gap: Paired  # winner minus incumbent
    shares: dict[str, Paired] | None  # exchanged part -> its share of the gap, see `attribute`
    interaction: Paired | None  # of retriever and reranker at the four corners, see `attribution.interaction`
    losses: dict[str, LossSplit]
    depths: dict[str, list[DepthPoint]]
    holes: Holes
    ties: dict[str, Ties]
    queries: int
    detectable: float | None  # the smallest difference that so many queries show, see `stats.power`
    few_queries: bool  # whether that is more than an application may lose
    queries_needed: int | None
    stages: StageCurves
    shared: list[SharedDocuments]
    confounds: dict[str, Confound]
    examples: list[Example]  # of dev
    unjudged: int  # documents in the labelling queue
    findings: dict[str, Finding]  # analysis -> what it found

    @property
    def names_decide(self) -> bool:
        """Whether the order of equal scores, which is that of document ids, moves the metric."""
        return any(tie.is_large for tie in self.ties.values())

    def to_json(self) -> dict[str, Json]:
        """One object. What ANALYSES found lies under the analysis' name, None where there was nothing to look at; what
        the plan's further analyses found lies under "analyses"."""
        built_in = {name: self.findings[name].value if name in self.findings else None for name in ANALYSES}
        further = {
            name: {"title": finding.title, "note": finding.note, "value": finding.value}
            for name, finding in self.findings.items()
            if name not in ANALYSES
        }
        return {
            **{name: value for name, value in plain_fields(self).items() if name != "findings"},
            "interacts": None if self.interaction is None else self.interaction.excludes_zero,
            "names_decide": self.names_decide,
            **{name: plain(value) for name, value in built_in.items()},
            **({"analyses": plain(further)} if further else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What the reasons of one application are read from."""

    boards: StoredBoards  # winner, incumbent
    application: str
    tables: Mapping[str, pl.DataFrame]  # split -> the application's rows of the grid
    test: Evidence
    dev: Evidence

    @property
    def plan(self) -> Plan:
        return self.boards.plan

    @property
    def confidence(self) -> float:
        return self.plan.selection.confidence

    @property
    def measure(self) -> Measure:
        """The application's metric."""
        return parse_measure(self.plan.applications[self.application].metric)

    def values(self, split: str, measure: str | None = None) -> Values:
        """One measure of every composition, (n,) in the order of the query ids; unset: the application's metric."""
        rows = self.tables[split]  # composition after composition, each with all queries
        names = rows["composition"].unique(maintain_order=True)
        cells = matrix_of(rows, measure or str(self.measure), len(names)).T
        return {Composition.parse(name): values for name, values in zip(names, cells, strict=True)}


def reasons_of(
    case: Case,
    analyses: Mapping[str, Analysis],
    judged: pl.DataFrame,
    traits: pl.DataFrame,
    moved: pl.DataFrame,
    queue: pl.DataFrame,
) -> Reasons:
    """judged: all relevant judgements, see `judged_everywhere`; traits: of the application's documents, see
    `read_traits`; moved and queue: its `won_and_lost` and `unjudged`."""
    winner, incumbent = case.boards.compositions
    test, dev, plan, measure = case.values("test"), case.values("dev"), case.plan, case.measure
    recall = deepest_recall([str(parse_measure(text)) for text in plan.grid.measures]) or str(measure)
    shares, contrast = attribute(test, winner, incumbent), interaction(test, winner, incumbent)
    gain, margin = _measured_gain(case), plan.selection.max_regression
    least = detectable(gain)
    gains = {
        "dev": (case.dev.board.query_ids, dev[winner] - dev[incumbent]),
        "test": (case.test.board.query_ids, test[winner] - test[incumbent]),
    }
    subject = Subject(
        plan=plan,
        application=case.application,
        winner=winner,
        incumbent=incumbent,
        measure=measure,
        values=test,
        dev=dev,
        board=case.test.board,
    )
    return Reasons(
        metric=str(measure),
        recall=recall,
        gap=t_interval(test[winner] - test[incumbent], case.confidence),
        shares=None if shares is None else {part: t_interval(s, case.confidence) for part, s in shares.items()},
        interaction=None if contrast is None else t_interval(contrast, case.confidence),
        losses=_losses(case, test),
        depths=_depths(case, test),
        holes=_holes(case, test),
        ties={
            name: measure_ties(case.test.board, one, measure)
            for name, one in zip(COMPARED, case.boards.compositions, strict=True)
        },
        queries=len(case.test.board.query_ids),
        detectable=least,
        few_queries=least is None or least > margin,
        queries_needed=queries_needed(gain, margin) if margin > 0 else None,
        stages=component_curves(plan, dev, test, case.values("test", recall)),
        shared=shared_documents(judged, case.application, gains),
        confounds=_confounds(case, judged, traits, float(test[winner].mean())),
        examples=examples(case.boards, case.application, moved, case.dev),
        unjudged=len(queue),
        findings=analyse(analyses, subject),
    )


def won_and_lost(case: Case) -> pl.DataFrame:
    """The greatest wins on dev, then the greatest losses, see `win_loss`."""
    values, board, answered = case.values("dev"), case.dev.board, []
    for composition in case.boards.compositions:
        ranks = retrieved_ranks(board, composition.retriever)
        answered.append(
            Answered(
                values=values[composition],
                ceilings=ceiling(ranks, board.grades, composition.depth, case.measure),
                ranks=final_list(board, composition).judged.ranks,
                grades=board.grades,
            )
        )
    return extremes(win_loss(board.query_ids, *answered), SHOWN)


def unjudged(case: Case) -> pl.DataFrame:
    """The labelling queue of both top lists on test."""
    board = case.test.board
    tops = [top_documents(board, final_list(board, composition), TOP) for composition in case.boards.compositions]
    return labelling_queue(tops[0], tops[1], case.test.judgements)


def _losses(case: Case, values: Values) -> dict[str, LossSplit]:
    board, splits = case.test.board, {}
    for name, composition in zip(COMPARED, case.boards.compositions, strict=True):
        tops = ceiling(retrieved_ranks(board, composition.retriever), board.grades, composition.depth, case.measure)
        splits[name] = split_loss(tops, values[composition], case.confidence)
    return splits


def _depths(case: Case, values: Values) -> dict[str, list[DepthPoint]]:
    board, curves = case.test.board, {}
    for name, composition in zip(COMPARED, case.boards.compositions, strict=True):
        others = sorted(c for c in values if c.at_depth(composition.depth) == composition)
        achieved = [(other.depth, values[other]) for other in others]
        ranks = retrieved_ranks(board, composition.retriever)
        curves[name] = depth_curve(ranks, board.grades, case.measure, achieved)
    return curves


def _holes(case: Case, values: Values) -> Holes:
    board, judged_share = case.test.board, parse_measure(f"Judged@{TOP}")
    shares = [judged_share.values(final_list(board, composition).judged) for composition in case.boards.compositions]
    return Holes(
        judged=Compared.of(shares[0], shares[1], case.confidence),
        counted=sensitivity(board, case.boards.compositions, case.measure, TOP, case.confidence),
        correlation=hole_correlation(values, case.values("test", JUDGED)),
        only_relevant_judged=not (case.test.judgements["grade"] == 0).any(),
    )


def _measured_gain(case: Case) -> Floats:
    """(Q,) winner minus incumbent of the lists that the store still gives."""
    board = case.test.board
    winner, incumbent = (case.measure.values(final_list(board, one).judged) for one in case.boards.compositions)
    return winner - incumbent


def _confounds(case: Case, judged: pl.DataFrame, traits: pl.DataFrame, winner: float) -> dict[str, Confound]:
    known = judged.filter((pl.col("application") == case.application) & (pl.col("split") != "test"))["doc_id"]
    lists = rank_without_query(traits, known, case.plan.grid.ranking_depth)
    return measure_confounds(lists, case.test.judgements, case.measure, winner)
