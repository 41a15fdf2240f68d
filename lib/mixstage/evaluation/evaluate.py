"""Phase 3: rankings and pair scores become the grid, one table of per-query measures for each split."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from mixstage.composition import Composition
from mixstage.corpus.application import read_judgements, read_queries
from mixstage.corpus.documents import document_text, read_documents
from mixstage.corpus.prepare import Prepared
from mixstage.evaluation.grid import build_board, compositions, evaluate_board, evaluated, union
from mixstage.evaluation.rankings import SPLITS, Key, read_ranking
from mixstage.indexing.pair_scores import Pairs, Tally, score_pairs
from mixstage.measures import parse_measure
from mixstage.plan import Plan
from mixstage.progress import Progress
from mixstage.store import Artifact, Store, digest_of

JUDGED = "Judged@10"  # of every composition: whether some are measured on fewer judgements than others
_FORMAT = 2  # raise when the tables change


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Union candidates of every application with each reranker's scores."""

    pairs: dict[str, pl.DataFrame]  # application -> query_id, doc_id
    scores: dict[str, dict[str, np.ndarray]]  # application -> reranker -> (N,) float32
    tally: Tally
    naive: int  # pairs that scoring each composition by itself would have cost
    seconds: float


def evaluate_grid(
    plan: Plan,
    store: Store,
    prepared: Prepared,
    rankings: Mapping[Key, Artifact],
    rerankers: Mapping[str, Artifact],
    progress: Progress,
) -> Artifact:
    """The grid artifact: dev.parquet and test.parquet with application, composition, query_id and a column a measure.

    meta["pairs"] says what scoring cost: naive, union, found in the store, scored now, seconds.
    """
    retrievers = list(dict.fromkeys(retriever for _, retriever in rankings))
    recipe = {
        "what": "grid",
        "format": _FORMAT,
        "rankings": {"/".join(key): ranking.digest for key, ranking in rankings.items()},
        "rerankers": {name: checkpoint.meta["fingerprint"] for name, checkpoint in rerankers.items()},
        "grid": plan.grid.model_dump(mode="json"),
        "measures": _measure_names(plan),
    }
    found = store.find("grid", digest_of(recipe))
    if found is not None:
        return found
    frames = {name: {r: read_ranking(rankings[name, r]) for r in retrievers} for name in plan.applications}
    scored = _score(plan, store, prepared, frames, rerankers, progress)
    grid = compositions(plan.grid, retrievers, list(rerankers))
    draft = store.draft("grid", recipe)
    for split in SPLITS:
        tables = [_measure(plan, prepared, name, split, frames[name], scored, grid) for name in plan.applications]
        draft.table(f"{split}.parquet", pl.concat(tables).to_arrow())
    tally = scored.tally
    pairs = {
        "naive": scored.naive,
        "union": tally.asked,
        "found": tally.found,
        "scored": tally.scored,
        "seconds": round(scored.seconds, 1),
    }
    return draft.publish({"compositions": len(grid), "pairs": pairs})


def _score(
    plan: Plan,
    store: Store,
    prepared: Prepared,
    frames: Mapping[str, Mapping[str, pl.DataFrame]],
    rerankers: Mapping[str, Artifact],
    progress: Progress,
) -> Scored:
    """Scores the union of all candidates at the largest depth once per reranker."""
    start = time.perf_counter()
    depth = max(plan.grid.depths)
    unions = {name: union(rankings, depth) for name, rankings in frames.items()}
    pairs = _pairs(plan, prepared, unions)
    columns, tally = score_pairs(
        store, list(rerankers.values()), pairs, label="score pairs", workers=plan.resources.score, progress=progress
    )
    cuts = np.cumsum([len(frame) for frame in unions.values()])[:-1]
    scores: dict[str, dict[str, np.ndarray]] = {name: {} for name in unions}
    for reranker, column in zip(rerankers, columns, strict=True):
        for name, part in zip(unions, np.split(column, cuts), strict=True):
            scores[name][reranker] = part
    tops = [(ranking["rank"] <= depth).sum() for rankings in frames.values() for ranking in rankings.values()]
    naive = int(sum(tops)) * len(rerankers)
    return Scored(pairs=unions, scores=scores, tally=tally, naive=naive, seconds=time.perf_counter() - start)


def _pairs(plan: Plan, prepared: Prepared, unions: Mapping[str, pl.DataFrame]) -> Pairs:
    queries: list[str] = []
    documents: list[str] = []
    query_numbers: list[np.ndarray] = []
    doc_numbers: list[np.ndarray] = []
    for name, frame in unions.items():
        texts = read_documents(prepared.corpus_of(plan, name), set(frame["doc_id"]))
        asked = read_queries(prepared.applications[name], *SPLITS)
        doc_ids = sorted(texts)
        query_numbers.append(_places(frame["query_id"], asked["query_id"].to_list()) + len(queries))
        doc_numbers.append(_places(frame["doc_id"], doc_ids) + len(documents))
        queries += asked["text"].to_list()
        documents += [document_text(*texts[doc_id]) for doc_id in doc_ids]
    return Pairs(
        queries=queries,
        documents=documents,
        query=np.concatenate(query_numbers),
        document=np.concatenate(doc_numbers),
    )


def _places(column: pl.Series, values: list[str]) -> np.ndarray:
    """(N,) int64: where each entry of the column stands in `values`."""
    table = pl.DataFrame({"value": values}, schema={"value": pl.String}).with_row_index("at")
    rows = column.to_frame("value").join(table, on="value", how="left", maintain_order="left")
    return rows["at"].cast(pl.Int64).to_numpy()


def _measure(
    plan: Plan,
    prepared: Prepared,
    name: str,
    split: str,
    rankings: Mapping[str, pl.DataFrame],
    scored: Scored,
    grid: list[Composition],
) -> pl.DataFrame:
    judgements = evaluated(read_judgements(prepared.applications[name], split))
    rows = {
        r: frame.filter(pl.col("query_id").is_in(judgements["query_id"].implode())) for r, frame in rankings.items()
    }
    board = build_board(rows, scored.pairs[name], scored.scores[name], judgements)
    measures = [parse_measure(text) for text in _measure_names(plan)]
    frames = []
    for composition, values in evaluate_board(board, grid, measures):
        columns = {str(measure): values[:, m] for m, measure in enumerate(measures)}
        frame = pl.DataFrame({"query_id": board.query_ids, **columns})
        frames.append(
            frame.select(pl.lit(name).alias("application"), pl.lit(str(composition)).alias("composition"), pl.all())
        )
    return pl.concat(frames)


def _measure_names(plan: Plan) -> list[str]:
    """The grid's measures, every application's own and JUDGED, under their canonical names, without repeats."""
    named = [*plan.grid.measures, *(part.metric for part in plan.applications.values()), JUDGED]
    return list(dict.fromkeys(str(parse_measure(text)) for text in named))
