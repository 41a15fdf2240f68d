"""Training samples: pairs of texts that belong together, each with the source it came from."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from mixstage.corpus.application import read_judgements, read_queries
from mixstage.corpus.documents import document_text, iterate_documents, read_documents
from mixstage.corpus.prepare import Prepared
from mixstage.plan import Plan
from mixstage.store import Artifact

PAIR = {"anchor": pl.String, "positive": pl.String, "source": pl.String}
_SENTENCE_END = re.compile(r"(?<=[.;])\s+|(?<=[。；])\s*")
_WEAK_LIMIT = 20_000  # weak pairs taken of a corpus: a demo's or a fine-tuning's worth, not a pre-training's


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The train split of one application, with the texts of its judged documents."""

    application: str
    corpus: Artifact
    queries: pl.DataFrame  # query_id, text
    judgements: pl.DataFrame  # query_id, doc_id, grade > 0
    documents: dict[str, str]  # doc_id -> text as models read it


def read_judged(plan: Plan, prepared: Prepared) -> list[Judged]:
    """The train splits of every application that has one."""
    judged = []
    for name, application in prepared.applications.items():
        corpus = prepared.corpus_of(plan, name)
        judgements = read_judgements(application, "train").filter(pl.col("grade") > 0)
        texts = read_documents(corpus, set(judgements["doc_id"]))
        judged.append(
            Judged(
                application=name,
                corpus=corpus,
                queries=read_queries(application, "train").filter(
                    pl.col("query_id").is_in(judgements["query_id"].implode())
                ),
                judgements=judgements.select("query_id", "doc_id", "grade"),
                documents={doc_id: document_text(*text) for doc_id, text in texts.items()},
            )
        )
    return [part for part in judged if len(part.judgements)]


def judged_pairs(judged: Iterable[Judged], min_grade: int = 1) -> pl.DataFrame:
    """anchor (query), positive (document), source "judged:APPLICATION"."""
    frames = [pl.DataFrame(schema=PAIR)]
    for part in judged:
        texts = dict(part.queries.select("query_id", "text").iter_rows())
        rows = part.judgements.filter(pl.col("grade") >= min_grade).sort("query_id", "doc_id")
        frames.append(
            pl.DataFrame(
                {
                    "anchor": [texts[query_id] for query_id in rows["query_id"]],
                    "positive": [part.documents[doc_id] for doc_id in rows["doc_id"]],
                    "source": [f"judged:{part.application}"] * len(rows),
                },
                schema=PAIR,
            )
        )
    return pl.concat(frames)


def weak_pairs(corpora: Mapping[str, Artifact], kind: str) -> pl.DataFrame:
    """Pairs that a corpus gives without judgements; source "KIND:CORPUS".

    kind "title": title -> text. kind "opening": first sentence -> the rest. Documents that lack the part are left out.
    """
    rows = []
    for name, corpus in corpora.items():
        left = _WEAK_LIMIT
        for table in iterate_documents(corpus, ["title", "text"]):
            pairs = [pair for row in table.to_pylist() if (pair := _weak_pair(kind, row["title"], row["text"]))]
            rows += [(*pair, f"{kind}:{name}") for pair in pairs[:left]]
            left -= len(pairs[:left])
    return pl.DataFrame(rows, schema=PAIR, orient="row")


def _weak_pair(kind: str, title: str, text: str) -> tuple[str, str] | None:
    if kind == "title":
        return (title, text) if title else None
    match = _SENTENCE_END.search(text)
    head, rest = (text[: match.start()].strip(), text[match.end() :].strip()) if match else ("", "")
    return (head, rest) if head and rest else None


def mix(sources: Mapping[str, pl.DataFrame], shares: Mapping[Any, float], seed: int) -> pl.DataFrame:
    """Draws from each source its share of pairs without repeats, shuffled by the seed.

    The shares are relative: the scarcest source (pairs / share) sets the size, so no pair is drawn twice.
    """
    total = min(len(frame) / shares[name] for name, frame in sources.items() if shares[name] > 0)
    generator = np.random.default_rng(seed)
    parts = []
    for name in sorted(sources):
        count = round(total * shares[name])
        parts.append(sources[name][np.sort(generator.permutation(len(sources[name]))[:count])])
    joined = pl.concat(parts)
    return joined[generator.permutation(len(joined))]
