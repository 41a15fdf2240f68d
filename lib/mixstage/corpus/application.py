"""An application's queries and judgements: read from a BEIR folder, checked, sampled, written as tables."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pyarrow as pa

from mixstage.corpus.collection import SPLITS, Collection
from mixstage.corpus.documents import iterate_documents
from mixstage.corpus.hashing import sample_ids, words_key
from mixstage.corpus.tables import Application, Corpus
from mixstage.errors import InputError
from mixstage.plan.data import SplitSizes
from mixstage.store.store import Draft

QUERIES = pa.schema([("query_id", pa.string()), ("text", pa.string()), ("split", pa.string())])
JUDGEMENTS = pa.schema(
    [("query_id", pa.string()), ("doc_id", pa.string()), ("grade", pa.int16()), ("split", pa.string())]
)
_SHOWN = 20  # problems a message lists
_FIELDS = 3  # query-id, corpus-id, score


@dataclass(slots=True)
class Reading:
    """What was read so far, and what was wrong with it."""

    collection: Collection
    queries: dict[str, str] = field(default_factory=dict)  # query_id -> text
    grades: dict[str, dict[tuple[str, str], int]] = field(default_factory=dict)  # split -> (query, document) -> grade
    lines: dict[str, dict[tuple[str, str], int]] = field(default_factory=dict)  # the same pairs -> where they stand
    problems: list[str] = field(default_factory=list)

    def refuse(self, name: str, line: int, problem: str) -> None:
        self.problems.append(f"{self.collection.uri}/{name}:{line}: {problem}")


def read_application(collection: Collection, corpus: Corpus) -> Reading:
    """Reads and checks queries and judgements; raises InputError that lists every problem (up to 20)."""
    reading = read_rows(collection)
    reading.problems[:0] = [
        f"{collection.uri}: no qrels/{split}.tsv: selection needs a dev and a test split; add it"
        for split in SPLITS
        if split != "train" and not collection.has(f"qrels/{split}.tsv")
    ]
    _check_documents(reading, corpus)
    if reading.problems:
        more = len(reading.problems) - _SHOWN
        lines = reading.problems[:_SHOWN] + ([f"... and {more} more"] if more > 0 else [])
        listed = "\n".join(f"  {line}" for line in lines)
        problems = "problem" if len(reading.problems) == 1 else "problems"
        raise InputError(f"{collection.uri}: {len(reading.problems)} {problems}\n{listed}")
    return reading


def read_rows(collection: Collection) -> Reading:
    """Queries and judgements, and what is wrong with their rows; whether judged documents exist is not looked at."""
    reading = Reading(collection)
    _read_queries(reading)
    for split in SPLITS:
        _read_judgements(reading, split)
    _check_leakage(reading)
    return reading


def _read_queries(reading: Reading) -> None:
    name = "queries.jsonl"
    for number, line in enumerate(reading.collection.read(name).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            query_id, text = row["_id"], row["text"]
        except (ValueError, KeyError, TypeError) as error:
            shown = line[:80].decode(errors="replace")
            reading.refuse(name, number, f'unreadable query ({error!r}): {shown}; write {{"_id": ..., "text": ...}}')
            continue
        if not isinstance(query_id, str) or not isinstance(text, str) or not text.strip():
            reading.refuse(name, number, f"query {query_id!r}: empty or not a string; drop the line or fill it")
        elif query_id in reading.queries:
            reading.refuse(name, number, f"duplicate id {query_id!r}; keep one or rename it")
        else:
            reading.queries[query_id] = text


def _read_judgements(reading: Reading, split: str) -> None:
    name = f"qrels/{split}.tsv"
    grades, lines = reading.grades.setdefault(split, {}), reading.lines.setdefault(split, {})
    if not reading.collection.has(name):
        return
    for number, raw in enumerate(reading.collection.read(name).decode(errors="replace").split("\n"), 1):
        line = raw.removesuffix("\r")
        fields = line.split("\t")
        if not line.strip() or (number == 1 and fields[-1].strip() == "score"):
            continue
        problem = _judgement_problem(fields, reading.queries, grades)
        if problem:
            reading.refuse(name, number, problem)
        else:
            pair = fields[0], fields[1]
            grades[pair], lines[pair] = int(fields[2]), number
    if not any(grade > 0 for grade in grades.values()):
        reading.problems.append(f"{reading.collection.uri}/{name}: the split holds no positive judgement; fill it")


def _judgement_problem(fields: list[str], queries: dict[str, str], grades: dict[tuple[str, str], int]) -> str:
    if len(fields) != _FIELDS:
        return f"{len(fields)} fields in {fields!r}; write query-id, corpus-id, score, separated by tabs"
    query_id, doc_id, grade = fields
    if query_id not in queries:
        return f"query {query_id!r} is not in queries.jsonl; add it or drop the judgement"
    if (query_id, doc_id) in grades:
        return f"({query_id!r}, {doc_id!r}) is judged twice; keep one"
    if not re.fullmatch(r"\s*-?[0-9]{1,4}\s*", grade):
        return f"score {grade!r} is not an integer grade; write 0, 1, 2, ..."
    return ""


def _check_documents(reading: Reading, corpus: Corpus) -> None:
    judged = {doc_id for grades in reading.grades.values() for _, doc_id in grades}
    for table in iterate_documents(corpus, ["doc_id"]):
        judged.difference_update(table["doc_id"].to_pylist())
    for split, grades in reading.grades.items():
        for query_id, doc_id in grades:
            if doc_id in judged:
                problem = f"query {query_id!r} judges {doc_id!r}, which is not in the corpus; add it or drop the row"
                reading.refuse(f"qrels/{split}.tsv", reading.lines[split][query_id, doc_id], problem)


def _check_leakage(reading: Reading) -> None:
    """A query (same id or same words) may stand in one split only: otherwise the test measures memory."""
    seen: dict[str, tuple[str, str]] = {}
    for split, grades in reading.grades.items():
        first = {query_id: line for (query_id, _), line in reversed(reading.lines[split].items())}
        for query_id in dict.fromkeys(query_id for query_id, _ in grades):
            words = words_key(reading.queries[query_id])
            other_split, other_id = seen.setdefault(words, (split, query_id))
            if other_split != split:
                problem = (
                    f"query {query_id!r} is also in {other_split} (as {other_id!r}): leakage; keep it in one split"
                )
                reading.refuse(f"qrels/{split}.tsv", first[query_id], problem)


def write_application(draft: Draft[Application], reading: Reading, sizes: SplitSizes) -> Application:
    """Publishes the tables; dev and test cut to their hash samples."""
    limits = {"train": None, "dev": sizes.dev, "test": sizes.test}
    queries: list[dict[str, Any]] = []
    judgements: list[dict[str, Any]] = []
    for split, grades in reading.grades.items():
        kept = sample_ids({query_id for query_id, _ in grades}, limits[split])
        queries += [{"query_id": q, "text": reading.queries[q], "split": split} for q in kept]
        members = set(kept)
        judgements += [
            {"query_id": q, "doc_id": d, "grade": grade, "split": split}
            for (q, d), grade in grades.items()
            if q in members
        ]
    draft.table("queries.parquet", pa.Table.from_pylist(queries, schema=QUERIES))
    draft.table("judgements.parquet", pa.Table.from_pylist(judgements, schema=JUDGEMENTS))
    counts = {split: sum(row["split"] == split for row in queries) for split in SPLITS}
    return draft.publish({"queries": counts, "judgements": len(judgements)})


def read_queries(application: Application, *splits: str) -> pl.DataFrame:
    """query_id, text, split of the named splits, in byte order of the ids."""
    frame = pl.DataFrame(application.read_table("queries.parquet"))
    return frame.filter(pl.col("split").is_in(splits)).sort("query_id")


def read_judgements(application: Application, *splits: str) -> pl.DataFrame:
    """query_id, doc_id, grade, split of the named splits."""
    return pl.DataFrame(application.read_table("judgements.parquet")).filter(pl.col("split").is_in(splits))
