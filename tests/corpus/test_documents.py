"""Documents: what a good line gives, and that every refusal says where, which value and what to do."""

import json
from pathlib import Path
from typing import Any

import pytest

from mixstage.corpus.collection import Collection
from mixstage.corpus.documents import (
    CORPUS_FILE,
    ParseShard,
    document_text,
    iterate_documents,
    parse_document,
    read_documents,
    refuse_duplicates,
    refuse_problems,
    shard_ranges,
)
from mixstage.corpus.tables import Corpus
from mixstage.errors import InputError
from mixstage.store.store import Store

GOOD = {"_id": "d1", "title": "T", "text": "words"}


def parse(store: Store, folder: Path, shards: int) -> tuple[Collection, Any, list[dict[str, Any]]]:
    """Parses a corpus in so many shards: collection, draft, summaries."""
    collection = Collection.open(str(folder))
    draft = store.draft(Corpus, {"of": str(folder)})
    size = collection.size(CORPUS_FILE)
    return collection, draft, [ParseShard(collection, draft)(r) for r in shard_ranges(size, max(1, -(-size // shards)))]


def test_a_document_is_its_title_a_stop_and_its_text() -> None:
    assert document_text("Deposit", "Returned within a month.") == "Deposit. Returned within a month."
    assert document_text("", "Returned.") == "Returned."


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ({"_id": "a", "title": "T", "text": "x"}, {"doc_id": "a", "title": "T", "text": "x"}),
        ({"_id": "a", "text": "x"}, {"doc_id": "a", "title": "", "text": "x"}),
        ({"_id": "a", "title": None, "text": " x "}, {"doc_id": "a", "title": "", "text": " x "}),
        ({"_id": "第", "text": "x", "metadata": {"a": 1}}, {"doc_id": "第", "title": "", "text": "x"}),
    ],
)
def test_a_good_line_gives_a_row(line: dict[str, Any], row: dict[str, str]) -> None:
    assert parse_document(json.dumps(line).encode()) == (row, "")
    assert parse_document(json.dumps(line, ensure_ascii=False).encode() + b"\r") == (row, "")


BAD = [
    ('{"_id": "a", "text": ', "unreadable JSON", '{"_id": "a", "text": ', "write one JSON object a line"),
    ('["a", "x"]', "not a JSON object", '["a", "x"]', 'write {"_id": ..., "title": ..., "text": ...}'),
    ('{"text": "x"}', "_id is None", "None", "give every document a non-empty string"),
    ('{"_id": "", "text": "x"}', "_id is ''", "''", "give every document a non-empty string"),
    ('{"_id": 7, "text": "x"}', "_id is 7", "7", "give every document a non-empty string"),
    ('{"_id": "a"}', "document 'a': title and text must be strings", "None", "must be strings"),
    ('{"_id": "a", "text": ["x"]}', "document 'a': title and text must be strings", "['x']", "must be strings"),
    ('{"_id": "a", "title": 3, "text": "x"}', "document 'a': title and text must be strings", "3", "must be strings"),
    ('{"_id": "a", "text": " \\n\\t"}', "document 'a': empty text", "'a'", "drop the line or give it text"),
]


@pytest.mark.parametrize(("line", "problem", "value", "remedy"), BAD)
def test_a_bad_line_is_refused_with_file_line_value_and_remedy(
    store: Store, beir: Any, line: str, problem: str, value: str, remedy: str
) -> None:
    folder = beir(documents=[GOOD, "", line, {**GOOD, "_id": "d2"}])
    collection, _, shards = parse(store, folder, 2)
    with pytest.raises(InputError) as caught:
        refuse_problems(collection, shards)
    head, line = str(caught.value).splitlines()
    assert head == f"{folder}: 1 bad documents"
    assert line.startswith(f"  {folder}/corpus.jsonl:3: {problem}")
    assert value in line and remedy in line


def test_a_line_that_is_no_utf8_is_refused_not_repaired(store: Store, tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_bytes(b'{"_id": "a", "text": "caf\xe9"}\n')
    collection, _, shards = parse(store, tmp_path, 1)
    with pytest.raises(InputError, match=r"corpus\.jsonl:1: unreadable JSON .*in UTF-8"):
        refuse_problems(collection, shards)


def test_a_lone_surrogate_is_refused_at_its_line_since_no_table_can_hold_it(store: Store, beir: Any) -> None:
    folder = beir(documents=[GOOD, '{"_id": "a", "text": "broken \\ud83d emoji"}'])
    with pytest.raises(InputError, match=r"corpus\.jsonl:2: "):
        collection, _, shards = parse(store, folder, 1)
        refuse_problems(collection, shards)


def test_problems_of_all_shards_come_in_the_order_of_the_file(store: Store, beir: Any) -> None:
    folder = beir(documents=[{**GOOD, "_id": ""}, GOOD, "{", GOOD, {"_id": "x", "text": ""}])
    collection, _, shards = parse(store, folder, 3)
    with pytest.raises(InputError) as caught:
        refuse_problems(collection, shards[::-1])
    lines = str(caught.value).splitlines()[1:]
    assert [line.split("corpus.jsonl:")[1][0] for line in lines] == ["1", "3", "5"]


def test_of_many_problems_twenty_are_shown_and_all_are_counted(store: Store, beir: Any) -> None:
    folder = beir(documents=["{"] * 30)
    collection, _, shards = parse(store, folder, 1)
    with pytest.raises(InputError) as caught:
        refuse_problems(collection, shards)
    head, *lines = str(caught.value).splitlines()
    assert [line.split(": ")[0].rpartition(":")[2] for line in lines] == [str(n) for n in range(1, 21)]
    assert head == f"{folder}: 30 bad documents"


@pytest.mark.parametrize("documents", [[], ["", "  "]])
def test_a_corpus_without_documents_is_refused(store: Store, beir: Any, documents: list[str]) -> None:
    collection, _, shards = parse(store, beir(documents=documents), 1)
    with pytest.raises(InputError, match=r"corpus\.jsonl holds no document: write one JSON object a line"):
        refuse_problems(collection, shards)


@pytest.mark.parametrize("shards", [1, 4])
def test_duplicate_ids_are_refused_at_every_line_inside_and_across_shards(store: Store, beir: Any, shards: int) -> None:
    ids = ["a", "b", "a", "c", "d", "e", "b", "a"]
    folder = beir(documents=[{"_id": i, "text": f"text number {n}"} for n, i in enumerate(ids)])
    collection, draft, parsed = parse(store, folder, shards)
    with pytest.raises(InputError) as caught:
        refuse_duplicates(collection, draft, [shard["name"] for shard in parsed])
    head, *lines = str(caught.value).splitlines()
    assert head == f"{folder}: document ids must be unique"
    assert lines == [
        f"  {folder}/corpus.jsonl:{number}: duplicate id '{i}'; keep one or rename it"
        for number, i in [(1, "a"), (3, "a"), (8, "a"), (2, "b"), (7, "b")]
    ]


def test_ids_that_differ_in_case_or_normal_form_are_different_ids(store: Store, beir: Any) -> None:
    ids = ["a", "A", "é", "e\u0301", "a "]
    collection, draft, parsed = parse(store, beir(documents=[{"_id": i, "text": "x"} for i in ids]), 2)
    refuse_duplicates(collection, draft, [shard["name"] for shard in parsed])
    assert sum(shard["rows"] for shard in parsed) == 5


def test_offsets_point_at_the_first_byte_of_each_line(make_corpus: Any) -> None:
    lines = ['{"_id": "a", "text": "é"}', "", '{"_id": "b", "text": "x"}']
    corpus = make_corpus(lines)
    (table,) = iterate_documents(corpus, ["doc_id", "offset"])
    assert table.to_pylist() == [
        {"doc_id": "a", "offset": 0},
        {"doc_id": "b", "offset": len(lines[0].encode()) + 2},
    ]


def test_documents_come_in_source_order_whatever_the_number_of_shards(make_corpus: Any) -> None:
    documents = [{"_id": f"d{n}", "title": "", "text": "x" * (n % 7 + 1)} for n in range(50)]
    for shards in (1, 3, 12):
        corpus = make_corpus(documents, name=f"c{shards}", shards=shards)
        rows = [row for table in iterate_documents(corpus, ["doc_id", "text"]) for row in table.to_pylist()]
        assert rows == [{"doc_id": d["_id"], "text": d["text"]} for d in documents]


def test_the_named_documents_are_read_and_no_others(make_corpus: Any) -> None:
    corpus = make_corpus([{"_id": f"d{n}", "title": f"t{n}", "text": f"x{n}"} for n in range(20)], shards=4)
    assert read_documents(corpus, {"d3", "d17", "gone"}) == {"d3": ("t3", "x3"), "d17": ("t17", "x17")}
