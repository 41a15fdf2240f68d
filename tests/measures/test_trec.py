"""Runs and judgements on disk: what is read, what is refused and with which words, and the round trip."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixstage.errors import InputError
from mixstage.measures.measures import parse_measure
from mixstage.measures.one_run import evaluate_run
from mixstage.measures.trec import read_qrels, read_run, write_qrels, write_run

Write = Callable[[str | bytes], Path]


@pytest.fixture
def file(tmp_path: Path) -> Write:
    def write(content: str | bytes) -> Path:
        path = tmp_path / "file"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def test_a_run_is_read_whatever_its_white_space_ranks_and_line_ends(file: Write) -> None:
    content = "\ufeffq1 Q0 d1 7 0.5 tag\r\n\r\nq1\tQ0\tdé\t7\t-1e-3\ttag\n  q2  Q0 d1 1 INF x\nq2 Q0 d2 2 3 x"
    assert read_run(file(content)) == {
        "q1": {"d1": 0.5, "dé": -0.001},
        "q2": {"d1": float("inf"), "d2": 3.0},
    }


def test_only_ascii_white_space_ends_a_field_and_only_a_newline_ends_a_line(file: Write) -> None:
    # Python's str.split would break at the no-break space, str.splitlines at U+2028.
    content = "q\u00a01 Q0 d\u20281 1 0.5 tag\n"
    assert read_run(file(content)) == {"q\u00a01": {"d\u20281": 0.5}}


@pytest.mark.parametrize(
    "content",
    [
        "q1 0 d1 2\nq1 0 d2 -1\nq2 0 d1 0\n",  # TREC
        "q1\t0\td1\t2\nq1\t0\td2\t-1\nq2\t0\td1\t+0\n",
        "q1 d1 2\nq1 d2 -1\nq2 d1 0\n",  # without the second column
        "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t-1\nq2\td1\t0\n",  # BEIR
        "q1\td1\t2\r\nq1\td2\t-1\r\nq2\td1\t0\r\n",  # BEIR without its header
    ],
)
def test_every_layout_of_qrels_reads_alike(file: Write, content: str) -> None:
    assert read_qrels(file(content)) == {"q1": {"d1": 2, "d2": -1}, "q2": {"d1": 0}}


def test_ids_with_spaces_are_read_under_a_header(file: Write) -> None:
    content = "Query-ID\tCorpus-ID\tScore\nq 1\tmy doc\t1\n"
    assert read_qrels(file(content)) == {"q 1": {"my doc": 1}}


def test_an_empty_file_is_an_empty_run(file: Write) -> None:
    assert read_run(file("\n \n")) == {} and read_qrels(file("")) == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("q1 Q0 d1 1 0.5\n", "line 1: 5 fields in 'q1 Q0 d1 1 0.5'; write six"),
        ("q1 Q0 d1 1 0.5 my tag\n", "line 1: 7 fields"),
        ("\nq1 Q0 d1 1 nan tag\n", "line 2: score b'nan'"),
        ("q1 Q0 d1 1 0,5 tag\n", "line 1: score b'0,5'"),
        ("q1 Q0 d1 1 1_0 tag\n", "line 1: score b'1_0'"),
        ("q1 Q0 d1 1 1e tag\n", "line 1: score b'1e'"),
        ("q Q0 d 1 2 t\nq Q0 e 2 1 t\nq Q0 d 3 0 t\n", "line 3: document d a second time for query q"),
        (b"q1 Q0 \xff 1 0.5 tag\n", "line 1: an id that is not UTF-8"),
        (b"\x1f\x8b\x08\x00 a b c d e\n", "save the file as uncompressed UTF-8 text"),
    ],
)
def test_a_run_that_cannot_be_trusted_is_refused(file: Write, content: str | bytes, message: str) -> None:
    path = file(content)
    with pytest.raises(InputError) as refusal:
        read_run(path)
    assert str(path) in str(refusal.value) and message in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("q1 0 d1 1.0\n", "line 1: grade b'1.0' in 'q1 0 d1 1.0'; write a whole number"),
        ("q1 0 d1 yes\n", "line 1: grade b'yes'"),
        ("q1 0 d1 1_0\n", "line 1: grade b'1_0'"),
        ("q1 0 d1 32768\n", "line 1: grade b'32768'"),
        ("q1 d1\n", "line 1: 2 fields"),
        ("q1 0 d1 1 x\n", "line 1: 5 fields"),
        ("q1 0 d1 1\nq1 d2 1\n", "line 2: 3 fields"),  # one layout per file
        ("query-id\tcorpus-id\tscore\nq1\t0\td1\t1\n", "line 2: 4 fields"),
        ("query-id\tcorpus-id\tscore\nq1\t\t1\n", "line 2: an empty id"),
        ("q1\tmy doc\t1\n", "make the first line query-id<tab>corpus-id<tab>score"),
        ("q1 0 d1 1\nq1 0 d1 1\n", "line 2: document d1 a second time for query q1"),
        (b"q1 0 \xe9 1\n", "line 1: an id that is not UTF-8"),
    ],
)
def test_qrels_that_cannot_be_trusted_are_refused(file: Write, content: str | bytes, message: str) -> None:
    path = file(content)
    with pytest.raises(InputError) as refusal:
        read_qrels(path)
    assert str(path) in str(refusal.value) and message in str(refusal.value)


def test_a_file_that_cannot_be_read_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent cannot be read \(No such file"):
        read_run(tmp_path / "absent")
    with pytest.raises(InputError, match="check the path"):
        read_qrels(tmp_path)


def test_a_written_run_is_in_the_order_in_which_it_is_evaluated(tmp_path: Path) -> None:
    path = tmp_path / "run.trec"
    write_run(path, {"q2": {"10": 1.0, "9": 1.0 + 1e-9, "a": 2.5}, "q1": {"é": 0.1}}, tag="mine")
    assert path.read_text(encoding="utf-8").splitlines() == [
        "q2 Q0 a 1 2.5 mine",
        "q2 Q0 9 2 1.0 mine",  # 1 + 1e-9 is 1.0 in float32; 9 is above 10 by its id
        "q2 Q0 10 3 1.0 mine",
        "q1 Q0 é 1 0.10000000149011612 mine",  # float32(0.1), read back unchanged
    ]
    assert list(tmp_path.iterdir()) == [path]  # no partial file is left behind


@pytest.mark.parametrize(
    ("run", "tag", "message"),
    [
        ({"q": {"d": 1.0, "e": float("nan")}}, "t", "document e of query q has score NaN"),
        ({"q": {"my doc": 1.0}}, "t", "'my doc' can't stand in a TREC run"),
        ({"": {"d": 1.0}}, "t", "'' can't stand in a TREC run"),
        ({"\ufeffq": {"d": 1.0}}, "t", "can't stand in a TREC run"),
        ({"q": {"d": 1.0}}, "my tag", "'my tag' can't stand in a TREC run"),
    ],
)
def test_a_run_that_would_be_misread_is_not_written(
    tmp_path: Path, run: dict[str, dict[str, float]], tag: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        write_run(tmp_path / "run.trec", run, tag)
    assert list(tmp_path.iterdir()) == []


CHARACTERS = st.characters(exclude_characters=" \t\n\r\v\f\ufeff", exclude_categories=["Cs"])
IDS = st.text(CHARACTERS, min_size=1, max_size=4)
RANKINGS = st.dictionaries(IDS, st.floats(allow_nan=False) | st.sampled_from([1.0, 1.0 + 1e-9]), min_size=1)
RUNS = st.dictionaries(IDS, RANKINGS, max_size=3)
MEASURES = [parse_measure(name) for name in ("nDCG@10", "RR", "AP", "R@2", "Rprec", "Bpref", "Judged@2")]


@settings(max_examples=200, deadline=None)
@given(RUNS, st.integers(1, 5))
def test_a_run_read_back_has_the_same_float32_scores_and_measures(
    tmp_path_factory: pytest.TempPathFactory, run: dict[str, dict[str, float]], step: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip.trec"
    write_run(path, run)
    again = read_run(path)
    with np.errstate(over="ignore", under="ignore"):
        single = {q: {d: float(np.float32(s)) for d, s in ranking.items()} for q, ranking in run.items()}
    assert again == single
    qrels = {q: {d: place % 3 for place, d in enumerate(sorted(docs)[::step])} for q, docs in run.items()}
    assert evaluate_run(again, qrels, MEASURES) == evaluate_run(run, qrels, MEASURES)


def test_a_run_in_three_columns_is_read_below_a_header_only(file: Write) -> None:
    assert read_run(file("query-id\tcorpus-id\tscore\nq 1\td1\t0.5\n")) == {"q 1": {"d1": 0.5}}
    with pytest.raises(InputError, match=r"line 1: 3 fields .* or three between tabs below the header"):
        read_run(file("q1\td1\t1\n"))
    with pytest.raises(InputError, match=r"line 2: 2 fields .* write three between tabs"):
        read_run(file("query-id\tcorpus-id\tscore\nq1\td1\n"))


def test_qrels_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    rows = [("q1", "é", 2), ("q1", "10", -1), ("q2", "é", 0)]
    write_qrels(tmp_path / "qrels", rows)
    assert (tmp_path / "qrels").read_text(encoding="utf-8") == "q1 0 é 2\nq1 0 10 -1\nq2 0 é 0\n"
    assert read_qrels(tmp_path / "qrels") == {"q1": {"é": 2, "10": -1}, "q2": {"é": 0}}
    with pytest.raises(InputError, match="'my doc' can't stand in a TREC run"):
        write_qrels(tmp_path / "qrels", [("q1", "my doc", 1)])
