"""A plan whose grid was evaluated from rankings and pair scores made here: no model, no Ray."""

from typing import Any

import numpy as np
import polars as pl

from mixstage.composition import Composition
from mixstage.corpus.application import JUDGEMENTS, QUERIES, read_judgements
from mixstage.corpus.documents import document_text
from mixstage.corpus.hashing import text_key
from mixstage.corpus.prepare import Prepared
from mixstage.corpus.tables import Application
from mixstage.evaluation.board import build_board, evaluate_board
from mixstage.evaluation.compositions import compositions, evaluated, union
from mixstage.evaluation.grid import Grid
from mixstage.evaluation.rankings import Ranking
from mixstage.index.search import rank_by_score
from mixstage.measures.measures import parse_measure
from mixstage.models.checkpoint import Checkpoint
from mixstage.pairs.scores import append_scores
from mixstage.pipeline import Pipeline
from mixstage.plan.load import parse_plan
from mixstage.plan.schema import Plan
from mixstage.progress import Progress
from mixstage.release.record import Pin
from mixstage.store.store import Store
from mixstage.training.curriculum import Curriculum
from tests.conftest import CorpusMaker

DOCUMENTS = [
    {"_id": name, "title": title, "text": f"The {title.lower()} says {name}: <b>appeals</b> & pays within {i} days."}
    for i, (name, title) in enumerate(
        zip(["9", "10", "Z", "é", *(f"d{i}" for i in range(12))], ["Act", "Code", "Rule", "Order"] * 4, strict=True)
    )
]
QUERY_COUNT = 7  # of an application and split
APPLICATIONS = ("counsel", "drafting")
_SPLITS = ("dev", "test")


PLAN: dict[str, Any] = {
    "name": "t",
    "corpora": {"c": {"source": "x"}},
    "applications": {name: {"corpus": "c", "source": "x"} for name in APPLICATIONS},
    "retriever": {"stages": {"robust": {}}},
    "reranker": {"stages": {"refine": {"mine": {"miners": ["bm25"]}}}},
    "grid": {
        "depths": [3, 6],
        "mix": [0.25],
        "ranking_depth": 10,
        "measures": ["nDCG@10", "RR@10", "R@5", "AP", "Bpref", "Judged@10"],
    },
}


def handmade(store: Store, make_corpus: CorpusMaker) -> Pipeline:
    """Prepared, ranked, scored and evaluated. Scores have many ties; the last query of a split finds nothing."""
    plan, progress = parse_plan(PLAN), Progress()
    made = Pipeline(plan, store, progress)
    applications = {name: _application(store, name) for name in APPLICATIONS}
    prepared = Prepared(
        plan=plan, store=store, progress=progress, corpora={"c": make_corpus(DOCUMENTS)}, applications=applications
    )
    generator = np.random.default_rng(11)
    retrievers = ("base", "robust", "bm25")
    frames = {name: {retriever: _ranking(name, generator) for retriever in retrievers} for name in APPLICATIONS}
    reranker = store.draft(Checkpoint, {"what": "checkpoint"}).publish({"fingerprint": "refined"})
    scores = {name: _score(store, reranker, union(lists, 6), generator) for name, lists in frames.items()}
    rankings = {(name, r): _publish(store, name, r, frames[name][r]) for name in APPLICATIONS for r in retrievers}
    curriculum = Curriculum(prepared=prepared)
    curriculum.rerankers["refine"] = reranker
    draft = store.draft(Grid, {"what": "grid"})
    for split in _SPLITS:
        cells = [_measure(plan, prepared, name, split, frames[name], scores[name]) for name in APPLICATIONS]
        draft.table(f"{split}.parquet", pl.concat(cells).to_arrow())
    grid = draft.publish({})
    vars(made).update(prepared=prepared, curriculum=curriculum, rankings=rankings, grid=grid)  # phases that are done
    return made


def _measure(
    plan: Plan, prepared: Prepared, name: str, split: str, rankings: dict[str, pl.DataFrame], scores: np.ndarray
) -> pl.DataFrame:
    judgements = evaluated(read_judgements(prepared.applications[name], split))
    asked = {r: frame.join(judgements, on="query_id", how="semi") for r, frame in rankings.items()}
    board = build_board(asked, union(rankings, 6), {"refine": scores}, judgements)
    measures = [parse_measure(measure) for measure in plan.grid.measures]
    frames = [
        pl.DataFrame({"query_id": board.query_ids, **dict(zip(plan.grid.measures, values.T, strict=True))}).select(
            pl.lit(name).alias("application"), pl.lit(str(composition)).alias("composition"), pl.all()
        )
        for composition, values in evaluate_board(board, compositions(plan.grid, list(rankings), ["refine"]), measures)
    ]
    return pl.concat(frames)


def query_ids(application: str, split: str) -> list[str]:
    return [f"{application}-{split}-{i}" for i in range(QUERY_COUNT)]


def query_text(query_id: str) -> str:
    return f"When may {query_id} appeal?"


def _application(store: Store, name: str) -> Application:
    generator = np.random.default_rng(len(name))
    asked = [(query, query_text(query), split) for split in _SPLITS for query in query_ids(name, split)]
    judged = [
        (query, row["_id"], int(generator.integers(-1, 3)), split)
        for query, _, split in asked
        for row in generator.choice(np.array(DOCUMENTS), 5, replace=False)
    ]
    draft = store.draft(Application, {"what": "application", "name": name})
    draft.table("queries.parquet", pl.DataFrame(asked, schema=QUERIES.names, orient="row").to_arrow())
    judgements = pl.DataFrame(judged, schema=JUDGEMENTS.names, orient="row").with_columns(
        pl.col("grade").cast(pl.Int16)
    )
    draft.table("judgements.parquet", judgements.to_arrow())
    return draft.publish({})


def _ranking(application: str, generator: np.random.Generator) -> pl.DataFrame:
    rows = [
        (query, str(document), float(score))
        for split in _SPLITS
        for query in query_ids(application, split)[:-1]
        for document, score in zip(
            generator.permutation([row["_id"] for row in DOCUMENTS])[:10], generator.integers(0, 7, 10) / 3, strict=True
        )
    ]
    schema = {"query_id": pl.String, "doc_id": pl.String, "score": pl.Float32}
    return rank_by_score(pl.DataFrame(rows, schema=schema, orient="row"))


def _score(store: Store, reranker: Checkpoint, pairs: pl.DataFrame, generator: np.random.Generator) -> np.ndarray:
    words = {row["_id"]: document_text(row["title"], row["text"]) for row in DOCUMENTS}
    queries = [text_key(query_text(query)) for query in pairs["query_id"]]
    documents = [text_key(words[document]) for document in pairs["doc_id"]]
    keys = pl.DataFrame({"query": queries, "document": documents}, schema={"query": pl.Binary, "document": pl.Binary})
    scores = (generator.integers(-9, 9, len(pairs)) / 7).astype(np.float32)
    append_scores(store, reranker, keys, scores)
    return scores


def _publish(store: Store, application: str, retriever: str, ranking: pl.DataFrame) -> Ranking:
    draft = store.draft(Ranking, {"what": "ranking", "of": [application, retriever]})
    draft.table("ranking.parquet", ranking.to_arrow())
    return draft.publish({})


# What an application is pinned to where a test needs no more than that something is released.
BM25_PIN = Pin(
    composition=Composition.parse("bm25@5 > none@10"),
    corpus="c",
    generation="g",
    retriever=None,
    reranker=None,
    report="r",
)
