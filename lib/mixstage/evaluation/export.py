"""Compositions for other tools: TREC runs, the predictions that MTEB saves and reranks, judgements, values by query.

Read back and measured by itself, a run gives the grid's values to the last bit.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
from pyarrow import fs

from mixstage.composition import Composition
from mixstage.corpus.application import read_judgements, read_queries
from mixstage.errors import InputError
from mixstage.evaluation.board import Board, final_scores
from mixstage.evaluation.compositions import evaluated
from mixstage.evaluation.grid import Grid
from mixstage.evaluation.rankings import EVALUATED, read_ranking
from mixstage.evaluation.stored_boards import StoredBoards
from mixstage.measures.json_runs import write_predictions
from mixstage.measures.trec import Run, write_qrels, write_run
from mixstage.progress import Progress
from mixstage.store.files import free_bytes, write_table

_MANIFEST = "export.json"
# Bytes of a row beside its ids: in a run "Q0", rank, score, tag and spaces, in JSON quotes and the score.
_RUN_BYTES, _JSON_BYTES = 56, 26


def final_run(board: Board, composition: Composition) -> Run:
    """query -> document -> score: every candidate that the composition orders, queries without any left out."""
    scores, listed = final_scores(board, composition)
    run: Run = {}
    for query, column in np.argwhere(listed).tolist():
        document = board.doc_ids[board.ordinals[query, column]]
        run.setdefault(board.query_ids[query], {})[document] = float(scores[query, column])
    return run


def run_name(composition: Composition) -> str:
    """`retriever:robust@60 > 0.5*reranker:refine@10` as robust@60+0.5+refine@10; no stage's name has a plus."""
    weight = "" if composition.mix == 1 else f"{Decimal(repr(composition.mix)):f}+"
    return f"{composition.retriever}@{composition.depth}+{weight}{composition.reranker}@{composition.k}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What is to be written where; `mixstage evaluate --help` shows the folder's layout."""

    folder: Path
    boards: StoredBoards
    grid: Grid

    @property
    def compositions(self) -> Sequence[Composition]:
        return self.boards.compositions

    def files(self) -> list[str]:
        """Every file but the manifest, as paths in the folder."""
        names = [run_name(composition) for composition in self.compositions]
        applications = list(self.boards.plan.applications)
        splits = [f"{application}/{split}" for application in applications for split in EVALUATED]
        tables = [f"{split}/{name}" for split in splits for name in ("qrels.trec", "per_query.parquet")]
        runs = [f"{split}/runs/{name}.trec" for split in splits for name in names]
        return tables + runs + [_predictions(name, application) for application in applications for name in names]

    def size(self) -> int:
        """About how many bytes it takes, from the lengths of ids; short rankings are counted as if they were long."""
        depth, size = sum(composition.depth for composition in self.compositions), 0
        retrievers = dict.fromkeys(composition.retriever for composition in self.compositions)
        for name in self.boards.plan.applications:
            queries = read_queries(self.boards.prepared.applications[name], *EVALUATED)["query_id"]
            documents = pl.concat(read_ranking(self.boards.rankings[name, r])["doc_id"] for r in retrievers)
            row = _mean_bytes(queries) + 2 * _mean_bytes(documents) + _RUN_BYTES + _JSON_BYTES
            size += math.ceil(depth * len(queries) * row)
        return size

    def write(self, progress: Progress) -> None:
        """Writes the files, each whole or not at all, and takes away what an earlier export had beside them.

        Raises InputError on a folder that holds files and is not an export, on too little space, and on ids that a TREC
        run can't hold.
        """
        earlier = self._earlier()
        free = free_bytes(fs.LocalFileSystem(), str(_existing(self.folder)))
        if free is not None and free < self.size():
            raise InputError(f"{self.folder}: {free:,} bytes are free, about {self.size():,} needed: export fewer")
        for name in {*earlier} - {*self.files()}:
            _delete(self.folder, name)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._note(finished=False)  # what a killed export leaves is known as one
        total = len(self.boards.plan.applications) * len(self.compositions)
        for _ in progress.track(self._write_all(), "export", total=total, unit="compositions"):
            pass
        self._note(finished=True)

    def _earlier(self) -> list[str]:
        """The files of the export that the folder holds."""
        path = self.folder / _MANIFEST
        if not self.folder.exists() or (not path.exists() and not any(self.folder.iterdir())):
            return []
        try:
            return list(json.loads(path.read_text(encoding="utf-8"))["files"])
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(
                f"{self.folder} holds files and is not an export: give an empty folder or a new one"
            ) from None

    def _note(self, *, finished: bool) -> None:
        content = {
            "grid": self.grid.digest,
            "finished": finished,
            "compositions": {run_name(composition): str(composition) for composition in self.compositions},
            "files": self.files(),
        }
        text = json.dumps(content, indent=1, ensure_ascii=False)
        (self.folder / _MANIFEST).write_text(text, encoding="utf-8")

    def _write_all(self) -> Iterator[Composition]:
        for application in self.boards.plan.applications:
            boards = {split: self.boards.get(application, split).board for split in EVALUATED}
            for split in EVALUATED:
                (self.folder / application / split / "runs").mkdir(parents=True, exist_ok=True)
                self._write_tables(application, split)
            for composition in self.compositions:
                self._write_runs(application, composition, boards)
                yield composition

    def _write_tables(self, application: str, split: str) -> None:
        folder = self.folder / application / split
        judgements = evaluated(read_judgements(self.boards.prepared.applications[application], split))
        write_qrels(folder / "qrels.trec", judgements.select("query_id", "doc_id", "grade").iter_rows())
        names = pl.Series([str(composition) for composition in self.compositions])
        rows = self.grid.table(split).filter(
            (pl.col("application") == application) & pl.col("composition").is_in(names.implode())
        )
        table = rows.drop("application").to_arrow()
        write_table(fs.LocalFileSystem(), str(folder.absolute() / "per_query.parquet"), table)

    def _write_runs(self, application: str, composition: Composition, boards: Mapping[str, Board]) -> None:
        name = run_name(composition)
        runs = {split: final_run(board, composition) for split, board in boards.items()}
        for split, run in runs.items():
            write_run(self.folder / application / split / "runs" / f"{name}.trec", run, tag=name)
        path = self.folder / _predictions(name, application)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_predictions(path, runs, str(composition), self.grid.digest)


def _predictions(name: str, application: str) -> str:
    return f"predictions/{name}/{application}_predictions.json"


def _mean_bytes(ids: pl.Series) -> float:
    return float(ids.str.len_bytes().sum()) / max(len(ids), 1)


def _existing(path: Path) -> Path:
    """The nearest folder above that is there."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())


def _delete(folder: Path, name: str) -> None:
    """Deletes a file of an export, and the folders that it leaves empty."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        return  # gone already, or a manifest that someone wrote by hand
    path.unlink()
    for parent in path.parents:
        if parent == folder.resolve() or not parent.is_dir() or any(parent.iterdir()):
            return
        parent.rmdir()
