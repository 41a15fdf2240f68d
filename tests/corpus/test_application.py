"""Applications: what is read of queries and judgements, and that every refusal says where, what and how to go on."""

import hashlib
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixstage.corpus.application import Reading, read_application, read_judgements, read_queries, write_application
from mixstage.corpus.collection import Collection
from mixstage.corpus.hashing import sample_ids
from mixstage.corpus.tables import Application, Corpus
from mixstage.errors import InputError
from mixstage.plan.data import SplitSizes

DOCUMENTS = [{"_id": f"d{n}", "text": f"text {n}"} for n in range(1, 5)]
QUERIES = [{"_id": f"q{n}", "text": f"question {n}"} for n in range(1, 7)]
SPLITS: dict[str, Any] = {
    "train": [("q1", "d1", 1), ("q2", "d2", 2)],
    "dev": [("q3", "d3", 1), ("q3", "d1", 0)],
    "test": [("q4", "d4", 1)],
}


@pytest.fixture
def corpus(make_corpus: Any) -> Corpus:
    return make_corpus(DOCUMENTS, shards=2)


@pytest.fixture
def read(beir: Any, corpus: Corpus) -> Any:
    """Reads an application with one part replaced."""

    def reading(name: str = "app", queries: list[Any] = QUERIES, **splits: Any) -> Reading:
        folder = beir(name, queries=queries, **{**SPLITS, **splits})
        return read_application(Collection.open(str(folder)), corpus)

    return reading


@pytest.fixture
def refusal(read: Any, tmp_path: Path) -> Any:
    """The problems of an application with one part replaced, their folder cut off."""

    def lines(**parts: Any) -> list[str]:
        with pytest.raises(InputError) as caught:
            read(**parts)
        head, *found = str(caught.value).splitlines()
        assert head.startswith(f"{tmp_path}/app: ")
        assert all(line.startswith(f"  {tmp_path}/app") for line in found if not line.startswith("  ... and "))
        return [line.strip().removeprefix(f"{tmp_path}/app").lstrip("/") for line in found]

    return lines


def test_queries_and_judgements_are_read_as_they_stand(read: Any) -> None:
    reading = read()
    assert reading.queries == {f"q{n}": f"question {n}" for n in range(1, 7)}
    assert reading.grades == {
        "train": {("q1", "d1"): 1, ("q2", "d2"): 2},
        "dev": {("q3", "d3"): 1, ("q3", "d1"): 0},
        "test": {("q4", "d4"): 1},
    }


@pytest.mark.parametrize(
    ("line", "problem", "remedy"),
    [
        ('{"_id": "q9"', 'unreadable query (JSONDecodeError("', 'write {"_id": ..., "text": ...}'),
        ('{"_id": "q9"}', 'unreadable query (KeyError(\'text\')): {"_id": "q9"}', 'write {"_id": ..., "text": ...}'),
        ('["q9", "x"]', "unreadable query (TypeError(", 'write {"_id": ..., "text": ...}'),
        ('{"_id": "q9", "text": " "}', "query 'q9': empty or not a string", "drop the line or fill it"),
        ('{"_id": "q9", "text": 3}', "query 'q9': empty or not a string", "drop the line or fill it"),
        ('{"_id": 9, "text": "x"}', "query 9: empty or not a string", "drop the line or fill it"),
        ('{"_id": "q2", "text": "x"}', "duplicate id 'q2'", "keep one or rename it"),
    ],
)
def test_a_bad_query_is_refused_with_line_value_and_remedy(refusal: Any, line: str, problem: str, remedy: str) -> None:
    (problem_line,) = refusal(queries=[*QUERIES[:4], "", line])
    assert problem_line.startswith(f"queries.jsonl:6: {problem}")
    assert problem_line.endswith(remedy)


@pytest.mark.parametrize(
    ("row", "problem", "remedy"),
    [
        (("q4", "d4"), "2 fields in ['q4', 'd4']", "write query-id, corpus-id, score, separated by tabs"),
        (("q4 0 d4 1",), "1 fields in ['q4 0 d4 1']", "write query-id, corpus-id, score, separated by tabs"),
        (("q4", "0", "d4", "1"), "4 fields in", "write query-id, corpus-id, score, separated by tabs"),
        (("q9", "d4", 1), "query 'q9' is not in queries.jsonl", "add it or drop the judgement"),
        (("q4", "d4", 2), "('q4', 'd4') is judged twice", "keep one"),
        (("q4", "d1", "1.0"), "score '1.0' is not an integer grade", "write 0, 1, 2, ..."),
        (("q4", "d1", "high"), "score 'high' is not an integer grade", "write 0, 1, 2, ..."),
        (("q4", "d1", ""), "score '' is not an integer grade", "write 0, 1, 2, ..."),
        (("q4", "d1", "--1"), "score '--1' is not an integer grade", "write 0, 1, 2, ..."),
        (("q4", "d1", "²"), "score '²' is not an integer grade", "write 0, 1, 2, ..."),
    ],
)
def test_a_bad_judgement_is_refused_with_line_value_and_remedy(
    refusal: Any, row: tuple[object, ...], problem: str, remedy: str
) -> None:
    (problem_line,) = refusal(test=[("q4", "d4", 1), row])
    assert problem_line.startswith(f"qrels/test.tsv:3: {problem}"), problem_line  # the header is line 1
    assert problem_line.endswith(remedy)


def test_a_grade_that_the_table_cannot_hold_is_refused_at_its_line(refusal: Any) -> None:
    (problem_line,) = refusal(test=[("q4", "d4", 1), ("q4", "d1", 40_000)])  # grades are 16-bit
    assert problem_line.startswith("qrels/test.tsv:3: ") and "40000" in problem_line


def test_a_judgement_of_a_document_that_is_not_in_the_corpus_is_refused(refusal: Any) -> None:
    (problem_line,) = refusal(dev=[("q3", "d3", 1), ("q3", "d99", 1)])
    assert (
        problem_line == "qrels/dev.tsv:3: query 'q3' judges 'd99', which is not in the corpus; add it or drop the row"
    )


@pytest.mark.parametrize("split", ["dev", "test"])
def test_a_missing_split_that_selection_needs_is_refused(refusal: Any, split: str) -> None:
    assert refusal(**{split: None}) == [f": no qrels/{split}.tsv: selection needs a dev and a test split; add it"]


def test_an_application_without_a_train_split_is_fine_since_it_can_be_evaluated(read: Any) -> None:
    assert read(train=None).grades["train"] == {}


@pytest.mark.parametrize("rows", [[], [("q4", "d4", 0)], [("q4", "d4", -1)]])
def test_a_split_without_a_positive_judgement_is_refused(refusal: Any, rows: list[tuple[str, str, int]]) -> None:
    assert refusal(test=rows) == ["qrels/test.tsv: the split holds no positive judgement; fill it"]


def test_a_query_that_stands_in_train_and_test_is_leakage(refusal: Any) -> None:
    (problem_line,) = refusal(test=[("q4", "d4", 1), ("q1", "d2", 1), ("q1", "d1", 1)])
    assert problem_line == "qrels/test.tsv:3: query 'q1' is also in train (as 'q1'): leakage; keep it in one split"


def test_a_query_with_the_words_of_a_train_query_is_leakage_whatever_its_id_case_and_spaces(refusal: Any) -> None:
    (problem_line,) = refusal(queries=[*QUERIES[:3], {"_id": "q4", "text": "  QUESTION\t1 "}])
    assert problem_line == "qrels/test.tsv:2: query 'q4' is also in train (as 'q1'): leakage; keep it in one split"


def test_equal_words_inside_one_split_are_no_leakage(read: Any) -> None:
    reading = read(queries=[*QUERIES[:4], {"_id": "q5", "text": "question 4"}], test=[("q4", "d4", 1), ("q5", "d1", 1)])
    assert reading.grades["test"] == {("q4", "d4"): 1, ("q5", "d1"): 1}


def test_all_problems_come_in_one_message_and_those_above_twenty_are_counted(refusal: Any) -> None:
    problems = refusal(test=[("q4", "d4", 1), *[(f"x{n}", "d1", 1) for n in range(25)]], dev=None)
    assert problems[0] == ": no qrels/dev.tsv: selection needs a dev and a test split; add it"
    assert problems[1].startswith("qrels/test.tsv:3: query 'x0'")
    assert problems[19].startswith("qrels/test.tsv:21: query 'x18'")
    assert problems[20:] == ["... and 6 more"]


@pytest.mark.parametrize("split", ["\u2028", "\x85"])
def test_only_a_newline_ends_a_line_of_judgements(read: Any, make_corpus: Any, beir: Any, split: str) -> None:
    """A query id may hold what str.splitlines takes for the end of a line."""
    name = f"a{split}b"
    folder = beir("odd", queries=[*QUERIES, {"_id": name, "text": "odd"}], **{**SPLITS, "test": [(name, "d1", 1)]})
    reading = read_application(Collection.open(str(folder)), make_corpus(DOCUMENTS, name="c2"))
    assert reading.grades["test"] == {(name, "d1"): 1}


def test_files_with_windows_line_ends_and_without_header_read_the_same(
    read: Any, corpus: Corpus, tmp_path: Path
) -> None:
    expected = read()
    for path in (tmp_path / "app").rglob("*.*"):
        lines = path.read_bytes().splitlines()
        path.write_bytes(b"\r\n".join(line for line in lines if not line.startswith(b"query-id")) + b"\r\n")
    again = read_application(Collection.open(str(tmp_path / "app")), corpus)
    assert (again.queries, again.grades) == (expected.queries, expected.grades)


def test_a_written_application_reads_back_with_its_counts(read: Any, store: Any) -> None:
    artifact = write_application(store.draft(Application, {"a": 1}), read(), SplitSizes())
    assert artifact.meta == {"queries": {"train": 2, "dev": 1, "test": 1}, "judgements": 5}
    assert read_queries(artifact, "train", "test").rows() == [
        ("q1", "question 1", "train"),
        ("q2", "question 2", "train"),
        ("q4", "question 4", "test"),
    ]
    assert sorted(read_judgements(artifact, "dev").rows()) == [("q3", "d1", 0, "dev"), ("q3", "d3", 1, "dev")]
    assert read_judgements(artifact, "dev").schema["grade"] == pl.Int16


def test_a_sample_of_a_split_takes_all_judgements_of_its_queries_and_spares_the_other_splits(
    read: Any, store: Any
) -> None:
    test = [("q4", "d1", 0), ("q4", "d4", 1), ("q5", "d1", 1), ("q6", "d2", 1)]
    reading = read(test=test)
    artifact = write_application(store.draft(Application, {"a": 2}), reading, SplitSizes(test=2))
    kept = sorted(sorted(["q4", "q5", "q6"], key=lambda q: hashlib.sha256(q.encode()).hexdigest())[:2])
    assert artifact.meta["queries"] == {"train": 2, "dev": 1, "test": 2}
    assert list(read_queries(artifact, "test")["query_id"]) == kept
    expected = sorted((q, d, g, "test") for q, d, g in test if q in kept)
    assert sorted(read_judgements(artifact, "test").rows()) == expected


@given(st.sets(st.text(max_size=4), max_size=30), st.integers(0, 30), st.integers(0, 30))
def test_a_smaller_sample_is_part_of_a_larger_one(ids: set[str], one: int, other: int) -> None:
    small, large = sorted((one, other))
    assert set(sample_ids(ids, small)) <= set(sample_ids(ids, large)) <= ids
    assert len(sample_ids(ids, small)) == min(small, len(ids))


@given(st.sets(st.text(max_size=4), min_size=1, max_size=30), st.data())
def test_a_sample_does_not_change_when_a_query_outside_of_it_goes(ids: set[str], data: st.DataObject) -> None:
    sample = sample_ids(ids, 5)
    outside = sorted(ids - set(sample))
    if outside:
        assert sample_ids(ids - {data.draw(st.sampled_from(outside))}, 5) == sample


def test_a_sample_is_the_same_on_every_machine() -> None:
    # `printf q4 | sha256sum`: q4 112f2d, q5 26eab9, q3 58e279, q2 bee98b, q1 c75de8
    assert sample_ids({"q1", "q2", "q3", "q4", "q5"}, 3) == ["q3", "q4", "q5"]
