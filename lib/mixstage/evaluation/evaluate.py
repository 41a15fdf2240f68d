"""Phase 3: rankings and pair scores become the grid, one table of per-query measures for each split."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import polars as pl

from mixstage.composition import Composition
from mixstage.corpus.application import read_judgements, read_queries
from mixstage.corpus.prepare import Prepared
from mixstage.evaluation.candidates import Scorer, find_candidates
from mixstage.evaluation.cost import NOTHING
from mixstage.evaluation.grid import build_board, compositions, evaluate_board, evaluated
from mixstage.evaluation.rankings import SPLITS, Key, read_ranking
from mixstage.measures import parse_measure
from mixstage.plan import Plan
from mixstage.progress import Progress
from mixstage.store import Artifact, Store, digest_of

_FORMAT = 3  # raise when the tables or the notes change


def evaluate_grid(
    plan: Plan,
    store: Store,
    prepared: Prepared,
    rankings: Mapping[Key, Artifact],
    rerankers: Mapping[str, Artifact],
    progress: Progress,
) -> Artifact:
    """The grid artifact: dev.parquet and test.parquet with application, composition, query_id and a column a measure.

    meta["pairs"] says what scoring cost, see `PairCost`; its "rerankers" the same of each.
    """
    retrievers = list(dict.fromkeys(retriever for _, retriever in rankings))
    recipe = {
        "what": "grid",
        "format": _FORMAT,
        "rankings": {"/".join(key): ranking.digest for key, ranking in rankings.items()},
        "rerankers": {name: checkpoint.meta["fingerprint"] for name, checkpoint in rerankers.items()},
        "grid": plan.grid.model_dump(mode="json"),
        "measures": measure_names(plan),
    }
    found = store.find("grid", digest_of(recipe))
    if found is not None:
        return found
    frames = {name: {r: read_ranking(rankings[name, r]) for r in retrievers} for name in plan.applications}
    candidates = find_candidates(plan, prepared, frames)
    scorer = Scorer(plan=plan, store=store, rerankers=rerankers, candidates=candidates, progress=progress)
    asked = {name: set(read_queries(part, *SPLITS)["query_id"]) for name, part in prepared.applications.items()}
    scorer.score(product(retrievers, rerankers), asked)
    grid = compositions(plan.grid, retrievers, list(rerankers))
    draft = store.draft("grid", recipe)
    for split in SPLITS:
        tables = [
            measure(plan, name, frames[name], scorer, read_judgements(prepared.applications[name], split), grid)
            for name in plan.applications
        ]
        draft.table(f"{split}.parquet", pl.concat(tables).to_arrow())
    return draft.publish({"compositions": len(grid), "pairs": cost_notes(scorer)})


def cost_notes(scorer: Scorer) -> dict[str, Any]:
    """What scoring cost: all rerankers together, seconds of waiting instead of work; each reranker by itself."""
    together = sum(scorer.costs.values(), NOTHING).to_json()
    each = [{"reranker": name} | cost.to_json() for name, cost in scorer.costs.items()]
    return together | {"seconds": round(scorer.seconds, 1), "rerankers": each}


def measure(
    plan: Plan,
    application: str,
    rankings: Mapping[str, pl.DataFrame],
    scorer: Scorer,
    judgements: pl.DataFrame,
    grid: Sequence[Composition],
) -> pl.DataFrame:
    """application, composition, query_id and a column a measure, of the judged queries; compositions in their order."""
    judgements = evaluated(judgements)
    rows = {
        r: frame.filter(pl.col("query_id").is_in(judgements["query_id"].implode())) for r, frame in rankings.items()
    }
    board = build_board(rows, scorer.candidates.tables[application], scorer.scores_of(application), judgements)
    measures = [parse_measure(text) for text in measure_names(plan)]
    frames = []
    for composition, values in evaluate_board(board, grid, measures):
        columns = {str(measure): values[:, m] for m, measure in enumerate(measures)}
        frame = pl.DataFrame({"query_id": board.query_ids, **columns})
        frames.append(
            frame.select(
                pl.lit(application).alias("application"), pl.lit(str(composition)).alias("composition"), pl.all()
            )
        )
    return pl.concat(frames)


def measure_names(plan: Plan) -> list[str]:
    """The grid's measures and every application's own, under their canonical names, without repeats."""
    named = [*plan.grid.measures, *(part.metric for part in plan.applications.values())]
    return list(dict.fromkeys(str(parse_measure(text)) for text in named))
