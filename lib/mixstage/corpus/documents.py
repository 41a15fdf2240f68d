"""Documents: parsing a piece of corpus.jsonl into a typed table, and reading the tables back."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pyarrow as pa

from mixstage.cluster import Item
from mixstage.corpus.collection import Collection
from mixstage.corpus.hashing import text_key
from mixstage.corpus.metadata import FOLDER, field_of, metadata_table, read_fields
from mixstage.corpus.tables import Corpus
from mixstage.errors import InputError
from mixstage.plan.data import FieldType
from mixstage.store.store import Draft

CORPUS_FILE = "corpus.jsonl"
SCHEMA = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),  # "" where the source has none
        pa.field("text", pa.string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),  # first byte of the line in the source file
        pa.field("key", pa.binary(16), nullable=False),  # `text_key` of what models read: equal texts have equal keys
    ]
)
_BLOCK = 16 << 20  # bytes of a source that are read at once
_SHOWN = 20  # problems a message lists


def document_text(title: str, text: str) -> str:
    """What models read of a document. Part of every cache key through the text itself."""
    return f"{title}. {text}" if title else text


@dataclass(frozen=True, slots=True)
class ParseShard:
    """Parses one byte range of a corpus file and writes it as one Parquet file of the draft."""

    collection: Collection
    draft: Draft[Corpus]
    fields: Mapping[str, FieldType] = field(default_factory=dict)  # declared metadata, in a file of its own

    def __call__(self, item: Item) -> Item:
        """{name, start, stop} -> {name, rows, size, sha256, problems: [{offset, problem}]}; writes `name`.

        With declared fields also {metadata: {name, rows, size, sha256}}.
        """
        rows, problems = [], []
        for offset, line in self.collection.read_lines(CORPUS_FILE, item["start"], item["stop"]):
            if not line.strip():
                continue
            row, problem = self._parse(line)
            if row is None:
                problems.append({"offset": offset, "problem": problem})
            else:
                key = text_key(document_text(row["title"], row["text"]))
                rows.append({**row, "offset": offset, "key": key})
        facts = self.draft.table(item["name"], pa.Table.from_pylist(rows, schema=SCHEMA))
        return {
            "name": item["name"],
            **facts,
            **self._metadata(item, rows),
            "problems": problems[:_SHOWN],
            "bad": len(problems),
        }

    def _parse(self, line: bytes) -> tuple[dict[str, Any] | None, str]:
        row, problem = parse_document(line)
        if row is None or not self.fields:
            return row, problem
        try:
            return {**row, "metadata": read_fields(json.loads(line), self.fields)}, ""
        except ValueError as error:
            return None, str(error)

    def _metadata(self, item: Item, rows: list[dict[str, Any]]) -> dict[str, Any]:
        if not self.fields:
            return {}
        name = FOLDER + item["name"].rpartition("/")[2]
        table = metadata_table([row["metadata"] for row in rows], self.fields)
        return {"metadata": {"name": name, **self.draft.table(name, table)}}


def parse_document(line: bytes) -> tuple[dict[str, str] | None, str]:
    """(row, "") of a good line, (None, problem with value and remedy) of a bad one."""
    try:
        row = json.loads(line)
    except ValueError as error:
        return None, f"unreadable JSON ({error}): {_short(line)}; write one JSON object a line, in UTF-8"
    if not isinstance(row, dict):
        return None, f'not a JSON object: {_short(line)}; write {{"_id": ..., "title": ..., "text": ...}}'
    doc_id, title, text = row.get("_id"), row.get("title") or "", row.get("text")
    if not isinstance(doc_id, str) or not doc_id:
        return None, f"_id is {doc_id!r}; give every document a non-empty string"
    if not isinstance(title, str) or not isinstance(text, str):
        return None, f"document {doc_id!r}: title and text must be strings, got {_short(title)}, {_short(text)}"
    if any(_is_broken(value) for value in (doc_id, title, text)):
        problem = "half a character (a lone \\ud8xx escape); write whole characters"
    elif not text.strip():
        problem = "empty text; drop the line or give it text"
    else:
        return {"doc_id": doc_id, "title": title, "text": text}, ""
    return None, f"document {doc_id!r}: {problem}"


def _is_broken(text: str) -> bool:
    """Lone surrogates: JSON can say them, UTF-8 and Arrow can't."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def _short(value: object) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def shard_ranges(size: int, shard_bytes: int) -> list[Item]:
    """Equal byte ranges of about `shard_bytes` that cover the file; names carry the order."""
    count = max(1, round(size / shard_bytes))
    edges = [size * i // count for i in range(count + 1)]
    return [{"name": f"documents/part-{i:05d}.parquet", "start": edges[i], "stop": edges[i + 1]} for i in range(count)]


def refuse_problems(collection: Collection, shards: list[Item]) -> None:
    """Raises InputError with file, line, value and remedy of each problem in the parsed shards."""
    problems = [problem for shard in shards for problem in shard["problems"]]
    if problems:
        lines = [
            f"  {collection.uri}/{CORPUS_FILE}:{collection.line_number(CORPUS_FILE, p['offset'])}: {p['problem']}"
            for p in sorted(problems, key=lambda p: p["offset"])[:_SHOWN]
        ]
        raise InputError(
            f"{collection.uri}: {sum(shard['bad'] for shard in shards)} bad documents\n" + "\n".join(lines)
        )
    if not sum(shard["rows"] for shard in shards):
        raise InputError(f"{collection.uri}/{CORPUS_FILE} holds no document: write one JSON object a line")


def refuse_duplicates(collection: Collection, draft: Draft[Corpus], names: list[str]) -> None:
    """Raises InputError if two documents share an id. Only 64-bit hashes of ids are gathered: 8 bytes a document."""
    hashes = pl.concat([pl.Series(_ids(draft, name)["doc_id"]).hash() for name in names])
    twice = hashes.filter(hashes.is_duplicated()).unique()
    if twice.is_empty():
        return
    suspects = pl.concat([_rows_with(draft, name, twice) for name in names])
    repeated = suspects.filter(pl.col("doc_id").is_duplicated()).sort("doc_id", "offset").head(_SHOWN)
    if repeated.is_empty():
        return  # different ids, same hash
    at = [f"{collection.line_number(CORPUS_FILE, row[1])}: duplicate id {row[0]!r}" for row in repeated.iter_rows()]
    lines = "\n".join(f"  {collection.uri}/{CORPUS_FILE}:{line}; keep one or rename it" for line in at)
    raise InputError(f"{collection.uri}: document ids must be unique\n{lines}")


def _ids(draft: Draft[Corpus], name: str) -> pl.DataFrame:
    with draft.filesystem.open_input_file(f"{draft.path}/{name}") as file:
        return pl.read_parquet(file, columns=["doc_id", "offset"])


def _rows_with(draft: Draft[Corpus], name: str, hashes: pl.Series) -> pl.DataFrame:
    rows = _ids(draft, name)
    return rows.filter(rows["doc_id"].hash().is_in(hashes.implode()))


def iterate_documents(corpus: Corpus, columns: list[str]) -> Iterator[pa.Table]:
    """The tables of a corpus, one shard at a time, in row order."""
    for name in corpus.names("documents/", ".parquet"):
        yield corpus.read_table(name, columns)


def read_documents(corpus: Corpus, doc_ids: set[str]) -> dict[str, tuple[str, str]]:
    """{doc_id: (title, text)} of the named documents; reads shard by shard and keeps only those."""
    documents: dict[str, tuple[str, str]] = {}
    for table in iterate_documents(corpus, ["doc_id", "title", "text"]):
        frame = pl.DataFrame(table).filter(pl.col("doc_id").is_in(list(doc_ids)))
        documents.update({doc_id: (title, text) for doc_id, title, text in frame.iter_rows()})
    return documents


def read_field(collection: Collection, name: str) -> pl.DataFrame:
    """doc_id, value (a string, null where a document lacks it) of a field of corpus.jsonl, or of its `metadata`.

    Read from the source: the tables hold what models read, and what was declared.
    """
    size, rows = collection.size(CORPUS_FILE), []
    for start in range(0, size, _BLOCK):
        for _, line in collection.read_lines(CORPUS_FILE, start, min(start + _BLOCK, size)):
            if line.strip():
                row = json.loads(line)
                value = field_of(row, name)
                rows.append((row["_id"], None if value is None else str(value)))
    return pl.DataFrame(rows, schema={"doc_id": pl.String, "value": pl.String}, orient="row")
