"""Runs as JSON: BEIR's query -> document -> score (ranx and pytrec_eval keep runs so, too), and the predictions that
MTEB saves: subset -> split -> the same."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from mixstage.errors import InputError
from mixstage.measures.trec import Run, read_run

_META: Final = "mteb_model_meta"
_SUBSET: Final = "default"  # MTEB's name for the only subset of a task
_SPACE: Final = b" \t\r\n\xef\xbb\xbf"  # before JSON, with a byte order mark


def open_run(path: str | Path, split: str | None = None, subset: str | None = None) -> Run:
    """The run of a file in any layout, told by its first character: JSON, else lines.

    split, subset: of MTEB's saved predictions; either may be left out where there is one only. Raises InputError as
    `read_run` and `read_json_run` do.
    """
    try:
        with Path(path).open("rb") as file:
            start = file.read(4096).lstrip(_SPACE)[:1]
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the path") from error
    return read_json_run(path, split, subset) if start in (b"{", b"[") else read_run(path)


def read_json_run(path: str | Path, split: str | None = None, subset: str | None = None) -> Run:
    """The run in a JSON file of BEIR's or MTEB's layout.

    Raises InputError on a file that cannot be read or is not a JSON object, on a subset or split that it lacks or that
    has to be named, on a query or document that stands twice, and on a score that is not a number.
    """
    try:
        whole: Any = json.loads(Path(path).read_text(encoding="utf-8-sig"), object_pairs_hook=_once)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the path") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}): give a run that BEIR, MTEB or ranx saved") from error
    if isinstance(whole, dict) and _META in whole:
        part = {name: value for name, value in whole.items() if name != _META}
        for level, key in (("subset", subset), ("split", split)):
            part = _inside(path, level, key, part)
        return _run(f"{path}, split {split}" if split else str(path), part)
    return _run(str(path), whole)


def write_predictions(
    path: str | Path, runs: Mapping[str, Mapping[str, Mapping[str, float]]], name: str, revision: str
) -> None:
    """Writes split -> run in the layout of MTEB's saved predictions: one JSON object with the model's name and
    revision, subsets, splits, queries, documents and their scores. The file appears whole or not at all.

    Raises InputError on a NaN score: JSON has no such number.
    """
    for split, run in runs.items():
        for query, ranking in run.items():
            _refuse_nan(f"split {split}, query {query}", ranking)
    whole = {_META: {"model_name": name, "revision": revision}, _SUBSET: runs}
    partial = Path(f"{path}.partial")
    partial.write_text(json.dumps(whole, ensure_ascii=False), encoding="utf-8")
    partial.replace(path)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """json would keep the last of two equal keys."""
    content = dict(pairs)
    if len(content) < len(pairs):
        twice = next(key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i]))
        raise InputError(f"{twice!r} stands twice in one object: keep one")
    return content


def _inside(path: str | Path, level: str, key: str | None, node: Any) -> Any:
    known = list(node) if isinstance(node, dict) else []
    listed = ", ".join(known) or "none"
    if key is None and len(known) == 1:
        return node[known[0]]
    if key is None and known:
        raise InputError(f"{path} has more than one {level}: name one of {listed} with --{level}")
    if key not in known:
        raise InputError(f"{path} has no {level} {key or ''!r}: there are {listed}")
    return node[key]


def _run(at: str, node: object) -> Run:
    if not isinstance(node, dict):
        raise InputError(f"{at}: {type(node).__name__} where queries were expected: query -> documents")
    return {query: _ranking(f"{at}, query {query}", ranking) for query, ranking in node.items()}


def _ranking(at: str, ranking: object) -> dict[str, float]:
    if not isinstance(ranking, dict):
        raise InputError(f"{at}: {type(ranking).__name__} where documents were expected: document -> score")
    for document, score in ranking.items():
        if isinstance(score, bool) or not isinstance(score, int | float):
            raise InputError(f"{at}, document {document}: score {score!r} is no number; leave the document out")
    _refuse_nan(at, ranking)
    return {document: float(score) for document, score in ranking.items()}


def _refuse_nan(at: str, ranking: Mapping[str, float]) -> None:
    for document, score in ranking.items():
        if math.isnan(score):
            raise InputError(f"{at}, document {document}: score NaN has no rank; leave the document out")
