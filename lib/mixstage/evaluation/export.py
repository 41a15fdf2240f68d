"""What a composition answers, for other tools: a run, and the predictions that MTEB saves and reranks.

Read back and measured by themselves, they give the grid's values to the last bit.
"""

import json
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mixstage.composition import Composition
from mixstage.errors import InputError
from mixstage.evaluation.grid import Board, final_scores
from mixstage.evaluation.runs import Run

_META = "mteb_model_meta"
_SUBSET = "default"  # MTEB's name for the only subset of a task


def final_run(board: Board, composition: Composition) -> Run:
    """query -> document -> score: every candidate that the composition orders, queries without any left out."""
    scores, listed = final_scores(board, composition)
    run: Run = {}
    for query, column in np.argwhere(listed).tolist():
        document = board.doc_ids[board.ordinals[query, column]]
        run.setdefault(board.query_ids[query], {})[document] = float(scores[query, column])
    return run


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


def read_predictions(path: str | Path, split: str, subset: str = _SUBSET) -> Run:
    """The run of one split of MTEB's saved predictions.

    Raises InputError on a file that cannot be read or is no JSON object, on a subset or split that it lacks, on a
    document or query that stands twice, and on a score that is not a number.
    """
    try:
        node: Any = json.loads(Path(path).read_text(encoding="utf-8"), object_pairs_hook=partial(_once, str(path)))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the path") from error
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}): give the file that MTEB saved predictions to") from error
    for level, key in (("subset", subset), ("split", split)):
        known = [name for name in node if name != _META] if isinstance(node, dict) else []
        if key not in known:
            raise InputError(f"{path} has no {level} {key!r}: there are {', '.join(known) or 'none'}")
        node = node[key]
    if not isinstance(node, dict):
        raise InputError(
            f"{path}, split {split}: {type(node).__name__} where queries were expected: query -> documents"
        )
    return {query: _ranking(f"{path}, split {split}, query {query}", ranking) for query, ranking in node.items()}


def _once(path: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of a JSON file, whose names json itself would let stand twice."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise InputError(
                f"{path}: {key!r} stands twice in one object, with {found[key]!r:.60} and {value!r:.60}; keep one"
            )
        found[key] = value
    return found


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
