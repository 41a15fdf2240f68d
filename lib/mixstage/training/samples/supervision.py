"""Training samples: what belongs together, where it came from, and how sources are mixed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from mixstage.corpus.application import read_judgements, read_queries
from mixstage.corpus.documents import document_text, iterate_documents, read_documents
from mixstage.corpus.hashing import text_hash
from mixstage.corpus.prepare import Prepared
from mixstage.corpus.tables import Corpus
from mixstage.errors import InputError
from mixstage.training.round import Round

if TYPE_CHECKING:
    from mixstage.training.samples.sampler import Sampler

# One schema for every loss: `negatives` may be empty; `scores` is empty or a teacher's, the positive's first.
SAMPLE: dict[str, Any] = {
    "anchor": pl.String,
    "positive": pl.String,
    "negatives": pl.List(pl.String),
    "scores": pl.List(pl.Float32),
    "source": pl.String,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervision:
    """Queries with the documents that answer them: a train split, or what a weak source makes of a corpus."""

    source: str  # "judged:counsel", "title:statutes"
    corpus: Corpus
    queries: pl.DataFrame  # query_id, text
    judgements: pl.DataFrame  # query_id, doc_id, grade > 0
    documents: dict[str, str]  # doc_id -> text that is learned; of weak pairs it may lack what the query was taken from
    titled: bool = True  # whether those texts carry their titles: negatives beside them are to look alike


def read_judged(prepared: Prepared) -> list[Supervision]:
    """The train splits of every application that has one."""
    judged = []
    for name, application in prepared.applications.items():
        corpus = prepared.corpus_of(name)
        judgements = read_judgements(application, "train").filter(pl.col("grade") > 0)
        texts = read_documents(corpus, set(judgements["doc_id"]))
        judged.append(
            Supervision(
                source=f"judged:{name}",
                corpus=corpus,
                queries=read_queries(application, "train").filter(
                    pl.col("query_id").is_in(judgements["query_id"].implode())
                ),
                judgements=judgements.select("query_id", "doc_id", "grade"),
                documents={doc_id: document_text(*text) for doc_id, text in texts.items()},
            )
        )
    return [part for part in judged if len(part.judgements)]


def gather_judged(sampler: "Sampler", this: Round, _source: str) -> list[Supervision]:
    """The train splits of the plan; raises InputError if there are none."""
    if not sampler.judged:
        raise InputError(
            f"{this.label}: no application has a train split: add qrels/train.tsv or train on weak sources only"
        )
    return sampler.judged


def supervised_pairs(parts: Iterable[Supervision]) -> pl.DataFrame:
    """A sample for every judged pair, without negatives; part after part, by ids."""
    frames = [pl.DataFrame(schema=SAMPLE)]
    for part in parts:
        texts = dict(part.queries.select("query_id", "text").iter_rows())
        rows = part.judgements.sort("query_id", "doc_id")
        frames.append(
            pl.DataFrame(
                {
                    "anchor": [texts[query_id] for query_id in rows["query_id"]],
                    "positive": [part.documents[doc_id] for doc_id in rows["doc_id"]],
                    "negatives": [[]] * len(rows),
                    "scores": [[]] * len(rows),
                    "source": [part.source] * len(rows),
                },
                schema=SAMPLE,
            )
        )
    return pl.concat(frames)


def corpus_texts(corpora: Mapping[str, Corpus], limit: int, seed: int) -> pl.DataFrame:
    """text, source: the documents of every corpus, a hash sample where there are more than `limit`, shuffled.

    Masked-language-model training reads them.
    """
    frames = []
    for name, corpus in corpora.items():
        taken = pl.DataFrame(schema={"key": pl.UInt64, "text": pl.String})
        for table in iterate_documents(corpus, ["doc_id", "title", "text"]):
            rows = pl.DataFrame(table)
            texts = [document_text(*row) for row in rows.select("title", "text").iter_rows()]
            shard = pl.DataFrame({"key": [text_hash(d) for d in rows["doc_id"]], "text": texts}, schema=taken.schema)
            taken = pl.concat([taken, shard]).sort("key").head(limit)
        frames.append(taken.select("text", source=pl.lit(f"text:{name}")))
    return shuffled(pl.concat(frames), np.random.default_rng(seed))


def mix(
    sources: Mapping[str, pl.DataFrame], shares: Mapping[Any, float], seed: int, temperature: float | None = None
) -> pl.DataFrame:
    """Draws from each source its share of samples without repeats, shuffled by the seed.

    Shares are relative: the scarcest source (samples / share) sets the size, so that nothing is drawn twice. With a
    temperature T a source counts share x size^(1/T): T = 1 is proportional to size, a large T leaves the shares alone
    (the exponentiated smoothing of multilingual BERT). Sources that gave nothing take no part.
    """
    full = {name: frame for name, frame in sources.items() if len(frame) and shares[name] > 0}
    if not full:
        return pl.DataFrame(schema=SAMPLE)
    largest = max(len(frame) for frame in full.values())  # sizes relative to it: a small T overflows no float
    weights = {
        name: shares[name] * ((len(frame) / largest) ** (1 / temperature) if temperature else 1.0)
        for name, frame in full.items()
    }
    total = min(len(full[name]) / weight for name, weight in weights.items() if weight > 0)
    generator = np.random.default_rng(seed)
    parts = []
    for name in sorted(full):
        count = round(total * weights[name])
        parts.append(full[name][np.sort(generator.permutation(len(full[name]))[:count])])
    return shuffled(pl.concat(parts), generator)


def shuffled(frame: pl.DataFrame, generator: np.random.Generator) -> pl.DataFrame:
    return frame[generator.permutation(len(frame))]
