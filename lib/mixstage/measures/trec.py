"""Files of rankings and judgements: TREC runs, TREC qrels and BEIR qrels, as plain dictionaries.

Fields end at ASCII white space only, as in trec_eval, so an id may hold any other character. Every refusal
names the file, the line, the value and what to write instead: a misread run yields plausible numbers.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

import numpy as np

from mixstage.errors import InputError

Run = dict[str, dict[str, float]]  # query id -> document id -> score, higher is better
Qrels = dict[str, dict[str, int]]  # query id -> document id -> grade, negative = not judged

_BEIR_HEADER: Final = [b"query-id", b"corpus-id", b"score"]
_MAX_GRADE: Final = 2**15 - 1  # grades are held as int16
_GRADE: Final = re.compile(rb"[+-]?[0-9]{1,5}")  # int() alone would take 1_0 as well
_NUMBER: Final = re.compile(rb"[0-9eE.+-]+|[+-]?inf(inity)?", re.IGNORECASE)  # float() would take nan and 1_0
_MARK: Final = b"\xef\xbb\xbf"  # byte order mark
_SPACE: Final = re.compile("[ \t\n\r\v\f]|^\ufeff")  # a leading U+FEFF would be read as a byte order mark


def read_run(path: str | Path) -> Run:
    """Scores of a TREC run (query, Q0, document, rank, score, tag); ranks are ignored, as in trec_eval. Or of query,
    document, score between tabs below BEIR's header, without which a score could be a rank.

    Raises InputError on a line with other fields, a score that is not a number, a document listed twice for
    a query, text that is not UTF-8, and a file that cannot be read.
    """
    run: Run = {}
    tabs = False
    for line in _lines(path):
        if not run and line.text.lower().split(b"\t") == _BEIR_HEADER:
            tabs = True
            continue
        query, document, score = _retrieved(line, tabs)
        ranking = run.setdefault(query, {})
        _refuse_second(line, query, document, ranking)
        ranking[document] = _score(line, score)
    return run


def read_qrels(path: str | Path) -> Qrels:
    """Grades of a qrels file: TREC (query, 0, document, grade), the same without the 0, or BEIR.

    BEIR is query, document, grade between tabs, with or without its header line. Raises InputError on a wrong
    number of fields, a grade that is not a whole number of 16 bits, a document judged twice for a query, text
    that is not UTF-8, and a file that cannot be read.
    """
    qrels: Qrels = {}
    tabs, accepted = False, (3, 4)
    for line in _lines(path):
        if not qrels and line.text.lower().split() == _BEIR_HEADER:
            tabs, accepted = b"\t" in line.text, (3, 3)
            continue
        fields = _judgement(line, tabs)
        if len(fields) not in accepted:
            line.refuse(f"{len(fields)} fields", "write 'query document grade' or 'query 0 document grade' throughout")
        accepted = (len(fields), len(fields))  # one layout per file
        query, document = _ids(line, fields[0], fields[-2])
        grades = qrels.setdefault(query, {})
        _refuse_second(line, query, document, grades)
        grades[document] = _grade(line, fields[-1])
    return qrels


def check_grades(qrels: Mapping[str, Mapping[str, int]]) -> None:
    """Raises InputError on a grade that no file of judgements could hold: no whole number, or beyond 16 bits."""
    for query, grades in qrels.items():
        for document, grade in grades.items():
            if not isinstance(grade, int | np.integer) or abs(int(grade)) > _MAX_GRADE:
                raise InputError(
                    f"query {query}, document {document}: grade {grade!r}; give a whole number up to {_MAX_GRADE}"
                )


def write_run(path: str | Path, run: Mapping[str, Mapping[str, float]], tag: str = "mixstage") -> None:
    """Writes a TREC run: queries as given, documents by (float32 score, id), both descending, ranks from 1.

    Scores are rounded to float32, the precision in which they are compared, and written with enough digits to
    be read back unchanged. Raises InputError on a NaN score and on ids or a tag that are empty or contain
    white space. The file appears whole or not at all.
    """
    _refuse_space(tag)
    lines: list[str] = []
    for query, ranking in run.items():
        _refuse_space(query, *ranking)
        ranked = enumerate(_ranked(query, ranking), start=1)
        lines += (f"{query} Q0 {document} {rank} {score!r} {tag}\n" for rank, (score, document) in ranked)
    _write_whole(path, lines)


def write_qrels(path: str | Path, judgements: Iterable[tuple[str, str, int]]) -> None:
    """Writes rows (query, document, grade) as TREC qrels, in their order. The file appears whole or not at all.

    Raises InputError on ids that are empty or contain white space.
    """
    lines: list[str] = []
    for query, document, grade in judgements:
        _refuse_space(query, document)
        lines.append(f"{query} 0 {document} {grade}\n")
    _write_whole(path, lines)


def _write_whole(path: str | Path, lines: list[str]) -> None:
    partial = Path(f"{path}.partial")
    partial.write_text("".join(lines), encoding="utf-8", newline="\n")
    partial.replace(path)


def _ranked(query: str, ranking: Mapping[str, float]) -> list[tuple[float, str]]:
    """Best first. Strings compare by code point, which is the order of their UTF-8 bytes."""
    scores = np.array(list(ranking.values()), dtype=np.float64)
    if np.isnan(scores).any():
        document = list(ranking)[int(np.isnan(scores).argmax())]
        raise InputError(f"document {document} of query {query} has score NaN: remove it or score it again")
    with np.errstate(over="ignore", under="ignore"):
        single: list[float] = scores.astype(np.float32).tolist()
    return sorted(zip(single, ranking, strict=True), reverse=True)


def _refuse_space(*names: str) -> None:
    for name in names:
        if not name or _SPACE.search(name):
            raise InputError(f"{name!r} can't stand in a TREC run, whose fields end at white space: rename it")


class _Line(NamedTuple):
    path: str | Path
    number: int  # from 1
    text: bytes

    def refuse(self, found: str, remedy: str) -> NoReturn:
        shown = self.text[:200].decode(errors="replace")
        raise InputError(f"{self.path}, line {self.number}: {found} in {shown!r}; {remedy}")


def _lines(path: str | Path) -> Iterator[_Line]:
    """The lines that are not blank, without a byte order mark. Only a newline ends one, unlike splitlines."""
    try:
        with Path(path).open("rb") as file:
            for number, text in enumerate(file, start=1):
                line = _Line(path, number, text.removeprefix(_MARK if number == 1 else b"").rstrip(b"\r\n"))
                if line.text.strip():
                    yield line
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the path") from error


def _retrieved(line: _Line, tabs: bool) -> tuple[str, str, bytes]:
    """Query, document and score of a run's line."""
    fields = [field.strip() for field in line.text.split(b"\t")] if tabs else line.text.split()
    if tabs and len(fields) == 3:
        return *_ids(line, fields[0], fields[1]), fields[2]
    if tabs or len(fields) != 6:
        remedy = (
            "write three between tabs"
            if tabs
            else (
                "write six: query Q0 document rank score tag, no spaces in ids; or three between tabs below the header "
                "query-id<tab>corpus-id<tab>score"
            )
        )
        line.refuse(f"{len(fields)} fields", remedy)
    return *_ids(line, fields[0], fields[2]), fields[4]


def _judgement(line: _Line, tabs: bool) -> list[bytes]:
    """The fields. Without a header an id with a space would look like a fourth column, so it is refused."""
    between_tabs = [field.strip() for field in line.text.split(b"\t")]
    if tabs:
        return between_tabs
    fields = line.text.split()
    if len(between_tabs) == 3 and len(fields) != 3:
        line.refuse("white space inside an id", "make the first line query-id<tab>corpus-id<tab>score")
    return fields


def _ids(line: _Line, query: bytes, document: bytes) -> tuple[str, str]:
    try:
        ids = query.decode(), document.decode()
    except UnicodeDecodeError:
        line.refuse("an id that is not UTF-8", "save the file as uncompressed UTF-8 text")
    if not all(ids):
        line.refuse("an empty id", "give every query and document an id")
    return ids


def _refuse_second(line: _Line, query: str, document: str, earlier: Mapping[str, object]) -> None:
    if document in earlier:
        line.refuse(f"document {document} a second time for query {query}", "keep one of the lines")


def _score(line: _Line, field: bytes) -> float:
    try:
        if _NUMBER.fullmatch(field):
            return float(field)
    except ValueError:
        pass  # such as 1-2 or 1e: refused below like any other text
    line.refuse(f"score {field!r}", "write a number, or leave the document out of the run")


def _grade(line: _Line, field: bytes) -> int:
    if not _GRADE.fullmatch(field) or abs(int(field)) > _MAX_GRADE:
        line.refuse(f"grade {field!r}", f"write a whole number up to {_MAX_GRADE}, such as 1")
    return int(field)
