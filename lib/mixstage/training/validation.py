"""Which step of a stage is kept: its checkpoints measured on dev, as Ray tasks beside the training.

A retriever is measured by Recall@60 over the judged documents and a sample of the others, a reranker by nDCG@10 over
BM25's candidates; both as means over the applications. The rule that picks a step reads the measurements in the order
of steps, so when they arrive does not matter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mixstage.corpus.application import read_judgements, read_queries
from mixstage.corpus.documents import document_text, iterate_documents
from mixstage.corpus.hashing import text_hash
from mixstage.corpus.prepare import Prepared
from mixstage.corpus.tables import Corpus
from mixstage.errors import InputError
from mixstage.measures.measures import ABSENT, Judged, parse_measure, rank_keys, ranks_of_judged
from mixstage.models.checkpoint import open_unchecked
from mixstage.models.encoder import Encoder
from mixstage.models.lexical import Lexical
from mixstage.models.reranker import Reranker
from mixstage.plan.stages import Component, ValidationPlan
from mixstage.store.store import Artifact, Draft

MEASURE: Mapping[Component, str] = {"retriever": "R@60", "reranker": "nDCG@10"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A checkpoint of a run and what dev said of it."""

    step: int
    score: float


def choose_step(measured: Sequence[Measured], patience: int | None) -> tuple[int, int]:
    """(best, last) step. Reading stops after `patience` measurements without a better one; the earliest best wins."""
    best, last, _ = _read(measured, patience)
    return best, last


def is_over(measured: Sequence[Measured], patience: int | None) -> bool:
    """Whether later steps can't change the choice.

    measured: all steps up to some one. Where a measurement is still on its way, those after it don't count: it may be
    the better one that starts the waiting anew.
    """
    return patience is not None and bool(measured) and _read(measured, patience)[2] >= patience


def _read(measured: Sequence[Measured], patience: int | None) -> tuple[int, int, int]:
    """Best step, last step, and the measurements without a better one between them."""
    ordered = sorted(measured, key=lambda one: one.step)
    best = last = ordered[0]
    waited = 0
    for one in ordered[1:]:
        if patience is not None and waited >= patience:
            break
        last, waited = one, waited + 1
        if one.score > best.score:
            best, waited = one, 0
    return best.step, last.step, waited


class Probe(Artifact):
    """What checkpoints are measured on while they train: per application queries, documents, candidates, grades."""

    kind = "probe"
    FORMAT = 1  # raise when a measurement would change
    __slots__ = ()

    @property
    def applications(self) -> list[str]:
        """The applications with a dev split."""
        return list(self.meta["applications"])


def make_probe(prepared: Prepared, component: Component, settings: ValidationPlan) -> Probe:
    """What checkpoints are measured on, kept as an artifact: per application queries, documents, candidates, grades.

    Raises InputError if no application has a dev split.
    """
    recipe = {
        "what": "probe",
        "format": Probe.FORMAT,
        "component": component,
        "applications": {name: part.digest for name, part in prepared.applications.items()},
        "corpora": {name: part.digest for name, part in prepared.corpora.items()},
        "settings": settings.model_dump(mode="json", include={"queries", "documents", "depth"}),
    }
    return prepared.store.made(Probe, recipe, lambda draft: _build(draft, prepared, component, settings))


def _build(draft: Draft[Probe], prepared: Prepared, component: Component, settings: ValidationPlan) -> Probe:
    splits = {name: read_judgements(part, "dev") for name, part in prepared.applications.items()}
    splits = {name: judgements for name, judgements in splits.items() if len(judgements)}
    if not splits:
        draft.delete()
        raise InputError("validation: no application has a dev split: add qrels/dev.tsv or drop `validation`")
    for name, judgements in splits.items():
        every = read_queries(prepared.applications[name], "dev")
        every = every.filter(pl.col("query_id").is_in(judgements["query_id"].implode()))
        by_hash = pl.Series([text_hash(query_id) for query_id in every["query_id"]], dtype=pl.UInt64)
        queries = every.sort(by_hash).head(settings.queries)
        judged = judgements.filter(pl.col("query_id").is_in(queries["query_id"].implode()))
        documents = _documents(prepared.corpus_of(name), set(judged["doc_id"]), settings.documents)
        draft.table(f"{name}/queries.parquet", queries.select("query_id", "text").to_arrow())
        draft.table(f"{name}/judgements.parquet", judged.select("query_id", "doc_id", "grade").to_arrow())
        draft.table(f"{name}/documents.parquet", documents.to_arrow())
        if component == "reranker":
            draft.table(f"{name}/candidates.parquet", _candidates(queries, documents, settings.depth).to_arrow())
    return draft.publish({"applications": list(splits)})


def _documents(corpus: Corpus, judged: set[str], limit: int) -> pl.DataFrame:
    """doc_id, text of all judged documents and, by hash, of others up to the limit; in byte order of the ids."""
    kept = pl.DataFrame(schema={"judged": pl.Boolean, "key": pl.UInt64, "doc_id": pl.String, "text": pl.String})
    for table in iterate_documents(corpus, ["doc_id", "title", "text"]):
        rows = [
            (doc_id in judged, text_hash(doc_id), doc_id, document_text(title, text))
            for doc_id, title, text in pl.DataFrame(table).iter_rows()
        ]
        both = pl.concat([kept, pl.DataFrame(rows, schema=kept.schema, orient="row")])
        others = both.filter(~pl.col("judged")).sort("key").head(max(0, limit - len(judged)))
        kept = pl.concat([both.filter(pl.col("judged")), others])
    return kept.select("doc_id", "text").sort("doc_id")


def _candidates(queries: pl.DataFrame, documents: pl.DataFrame, depth: int) -> pl.DataFrame:
    """query (number), document (number): BM25's best of the documents."""
    _, rows = Lexical.build(documents["text"].to_list()).search(queries["text"].to_list(), depth)
    query, slot = np.nonzero(rows >= 0)
    return pl.DataFrame({"query": query.astype(np.int64), "document": rows[query, slot]})


def validate(folder: Path, probe: Probe, component: Component) -> dict[str, float]:
    """{application: mean measure} of a model folder, and "score", their mean."""
    model = open_unchecked(folder)
    means = {}
    for name in probe.applications:
        tables = {
            part: pl.DataFrame(probe.read_table(f"{name}/{part}.parquet"))
            for part in ("queries", "judgements", "documents")
        }
        texts = tables["queries"]["text"].to_list(), tables["documents"]["text"].to_list()
        if component == "retriever":
            scores = _retrieved(model, *texts)
        else:
            scores = _reranked(model, *texts, pl.DataFrame(probe.read_table(f"{name}/candidates.parquet")))
        means[name] = _mean(scores, tables, MEASURE[component])
    return {**means, "score": float(np.mean(list(means.values())))}


def _retrieved(model: Any, queries: list[str], documents: list[str]) -> np.ndarray:
    encoder: Encoder = model
    return np.asarray(encoder.encode(queries, "query") @ encoder.encode(documents, "document").T)


def _reranked(model: Any, queries: list[str], documents: list[str], candidates: pl.DataFrame) -> np.ndarray:
    """(Q, D) float32, NaN where a document is not a candidate."""
    reranker: Reranker = model
    query, document = candidates["query"].to_numpy(), candidates["document"].to_numpy()
    scores = np.full((len(queries), len(documents)), np.nan, dtype=np.float32)
    scores[query, document] = reranker.score([queries[q] for q in query], [documents[d] for d in document])
    return scores


def _mean(scores: np.ndarray, tables: Mapping[str, pl.DataFrame], measure: str) -> float:
    """Mean over the queries; documents are in byte order, so a column's number breaks ties as trec_eval does."""
    listed = ~np.isnan(scores)
    ordinals = np.broadcast_to(np.arange(scores.shape[1], dtype=np.uint32), scores.shape)
    keys = np.where(listed, rank_keys(np.where(listed, scores, 0), ordinals), np.uint64(0))
    row = {query_id: number for number, query_id in enumerate(tables["queries"]["query_id"])}
    column = {doc_id: number for number, doc_id in enumerate(tables["documents"]["doc_id"])}
    by_query: dict[str, list[tuple[int, int]]] = {query_id: [] for query_id in row}
    for query_id, doc_id, grade in tables["judgements"].iter_rows():
        by_query[query_id].append((column[doc_id], grade))
    width = max(map(len, by_query.values()))
    judged = np.full((len(row), width), -1, dtype=np.int32)
    grades = np.full((len(row), width), ABSENT, dtype=np.int16)
    for query_id, pairs in by_query.items():
        for slot, (number, grade) in enumerate(pairs):
            judged[row[query_id], slot], grades[row[query_id], slot] = number, grade
    values = parse_measure(measure).values(
        Judged(ranks=ranks_of_judged(keys, judged), grades=grades, returned=listed.sum(axis=1).astype(np.int32))
    )
    return float(values.mean())
