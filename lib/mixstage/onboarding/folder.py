"""What lies in a folder of a user: corpora, queries, judgements, and what is wrong with their rows."""

import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pyarrow import fs

from mixstage.corpus.application import Reading, read_rows
from mixstage.corpus.collection import SPLITS, Collection
from mixstage.corpus.documents import CORPUS_FILE, document_text, parse_document
from mixstage.corpus.metadata import field_of, read_value
from mixstage.errors import InputError
from mixstage.plan.data import FieldType

QUERIES_FILE = "queries.jsonl"
READ = 128 << 20  # bytes of a corpus that are looked at
_SAMPLED = 2000  # texts whose lengths and language are looked at
_SHOWN = 10  # problems a message lists
_OWN = {"_id", "title", "text", "metadata"}
_TYPES: tuple[FieldType, ...] = ("boolean", "integer", "number", "date", "string", "strings")  # the narrowest first


@dataclass(slots=True, kw_only=True)
class Documents:
    """A corpus as it was read."""

    name: str
    source: str
    count: int = 0
    titles: set[str] = field(default_factory=set)
    is_whole: bool = True  # or its first READ bytes were looked at
    texts: list[str] = field(default_factory=list)  # a random sample, titles included
    ids: set[str] = field(default_factory=set)
    fields: dict[str, set[FieldType]] = field(default_factory=dict)  # further columns -> types that all values have

    @property
    def distinct_titles(self) -> float:
        """Titles, each counted once, a document: 1 if every document has one of its own."""
        return len(self.titles - {""}) / self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """Queries and judgements of one application."""

    name: str
    source: str
    corpus: str
    queries: int
    texts: list[str]  # a random sample
    splits: Mapping[str, int]  # split -> judged queries; a split without a file is not here
    positives: float  # judged documents of grade 1 and more, a query with judgements
    highest: int  # grade

    @property
    def has_judgements(self) -> bool:
        return bool(self.splits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything that a plan is written from."""

    name: str
    corpora: list[Documents]
    applications: list[Questions]


def look_at(folder: str) -> Findings:
    """Reads corpora and applications of a folder and of the folders in it.

    A folder with queries searches its own corpus.jsonl, or that of the folder above. Raises InputError if there is no
    corpus, or with file, line, value and remedy of rows that `mixstage prepare` would refuse.
    """
    collection = Collection.open(folder)
    uri = collection.uri if "://" in folder else collection.path  # absolute: a plan may lie anywhere
    places = [(uri, collection), *((f"{uri}/{name}", _inner(collection, name)) for name in _folders(collection))]
    with_corpus = [place for place in places if place[1].has(CORPUS_FILE)]
    if not with_corpus:
        raise InputError(_nothing_there(collection))
    names = _names([place for place, _ in places])
    corpora = {place: _read_corpus(names[place], place, files) for place, files in with_corpus}
    problems: list[str] = []
    applications = []
    for place, files in places:
        documents = corpora.get(place) or corpora.get(uri)
        if files.has(QUERIES_FILE) and documents is not None:
            applications.append(_read_questions(names[place], place, files, documents, problems))
    _refuse(folder, problems)
    return Findings(name=names[uri], corpora=list(corpora.values()), applications=applications)


def _folders(collection: Collection) -> list[str]:
    listed = collection.filesystem.get_file_info(fs.FileSelector(collection.path))
    return sorted(info.base_name for info in listed if info.type == fs.FileType.Directory)


def _inner(collection: Collection, name: str) -> Collection:
    return Collection(f"{collection.uri}/{name}", collection.filesystem, f"{collection.path}/{name}")


def _names(places: list[str]) -> dict[str, str]:
    """Place -> a name that a plan may use: the folder's, without what is not a letter or a digit."""
    names: dict[str, str] = {}
    for place in places:
        plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", place.rstrip("/").rpartition("/")[2]).strip("-_.") or "mine"
        taken = list(names.values())
        names[place] = plain if plain not in taken else f"{plain}-{len(taken)}"
    return names


def _nothing_there(collection: Collection) -> str:
    listed = collection.filesystem.get_file_info(fs.FileSelector(collection.path))
    there = ", ".join(sorted(info.base_name for info in listed)[:_SHOWN]) or "nothing"
    return (
        f"{collection.uri} holds no {CORPUS_FILE} (there is {there}): write a file {CORPUS_FILE} with a line "
        '{"_id": "a1", "title": "...", "text": "..."} for each document, a file queries.jsonl with a line '
        '{"_id": "q1", "text": "..."} for each query, and qrels/train.tsv, dev.tsv and test.tsv with the columns '
        "query-id, corpus-id, score, separated by tabs"
    )


def _read_corpus(name: str, place: str, files: Collection) -> Documents:
    documents, problems = Documents(name=name, source=place), []
    draw = random.Random(0)
    for number, line in _lines(files, documents):
        row, problem = parse_document(line)
        if row is None or row["doc_id"] in documents.ids:
            said = problem or f"duplicate id {row['doc_id']!r}; keep one or rename it" if row else problem
            problems.append(f"{files.uri}/{CORPUS_FILE}:{number}: {said}")
            continue
        documents.ids.add(row["doc_id"])
        documents.count += 1
        documents.titles.add(row["title"])
        _keep(documents.texts, document_text(row["title"], row["text"]), documents.count, draw)
        _note_fields(documents, json.loads(line))
    _refuse(files.uri, problems)
    if not documents.count:
        raise InputError(f"{files.uri}/{CORPUS_FILE} holds no document: write one JSON object a line")
    return documents


def _lines(files: Collection, documents: Documents) -> Iterator[tuple[int, bytes]]:
    """(number, line) of the first READ bytes."""
    size = files.size(CORPUS_FILE)
    documents.is_whole = size <= READ
    for number, (_, line) in enumerate(files.read_lines(CORPUS_FILE, 0, min(size, READ)), 1):
        if line.strip():
            yield number, line


def _keep(sample: list[str], text: str, count: int, draw: random.Random) -> None:
    """Keeps a text with the chance that makes the sample uniform (reservoir sampling). count: of texts so far."""
    if len(sample) < _SAMPLED:
        sample.append(text)
    elif (place := draw.randrange(count)) < _SAMPLED:
        sample[place] = text


def _note_fields(documents: Documents, row: dict[str, Any]) -> None:
    inner = row.get("metadata")
    for name in [*row, *(inner if isinstance(inner, dict) else {})]:
        value = field_of(row, name)
        if name in _OWN or value is None:
            continue
        types = documents.fields.setdefault(name, set(_TYPES))
        types -= {kind for kind in types if not _is_of(kind, value)}


def _is_of(kind: FieldType, value: object) -> bool:
    try:
        read_value(kind, value)
    except ValueError:
        return False
    return True


def field_types(documents: Documents) -> dict[str, FieldType]:
    """Column -> the narrowest type that all its values have; columns of mixed types are left out."""
    return {
        name: next(kind for kind in _TYPES if kind in types)
        for name, types in sorted(documents.fields.items())
        if types
    }


def _read_questions(name: str, place: str, files: Collection, documents: Documents, problems: list[str]) -> Questions:
    reading = read_rows(files)
    problems += reading.problems
    draw = random.Random(0)
    texts: list[str] = []
    for count, text in enumerate(reading.queries.values(), 1):
        _keep(texts, text, count, draw)
    problems += _unknown_documents(reading, documents)
    judged = [(query, grade) for split in reading.grades.values() for (query, _), grade in split.items()]
    positive = Counter(query for query, grade in judged if grade > 0)
    return Questions(
        name=name,
        source=place,
        corpus=documents.name,
        queries=len(reading.queries),
        texts=texts,
        splits={
            split: len({query for query, _ in reading.grades[split]})
            for split in SPLITS
            if files.has(f"qrels/{split}.tsv")
        },
        positives=positive.total() / max(1, len(positive)),
        highest=max((grade for _, grade in judged), default=0),
    )


def _unknown_documents(reading: Reading, documents: Documents) -> Iterator[str]:
    """Judgements of documents that the corpus lacks; of a corpus that was not read to its end nothing is known."""
    for split, lines in reading.lines.items():
        for (query, document), line in lines.items():
            if documents.is_whole and document not in documents.ids:
                yield (
                    f"{reading.collection.uri}/qrels/{split}.tsv:{line}: query {query!r} judges {document!r}, which is "
                    "not in the corpus; add it or drop the row"
                )


def _refuse(where: str, problems: list[str]) -> None:
    if problems:
        more = [f"... and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        listed = "\n".join(f"  {problem}" for problem in [*problems[:_SHOWN], *more])
        rows = "row" if len(problems) == 1 else "rows"
        raise InputError(f"{where}: {len(problems)} {rows} that `mixstage prepare` would refuse\n{listed}")
