"""Exported compositions: read back and measured by `jobs.measure`, every one has the grid's values."""

import json
from pathlib import Path

import polars as pl
import pytest

from mixstage.commands.evaluate import export, parse
from mixstage.commands.measure import main as measure
from mixstage.composition import Composition
from mixstage.errors import InputError
from mixstage.evaluation.export import run_name
from mixstage.evaluation.stored_boards import find_compositions
from mixstage.pipeline import Pipeline
from mixstage.store.store import Store
from tests.conftest import CorpusMaker
from tests.handmade import APPLICATIONS, handmade

ORACLE = "retriever:base@3 > oracle@10"
MIXED = "bm25@6 > 0.25*reranker:refine@10"


@pytest.fixture
def pipeline(store: Store, make_corpus: CorpusMaker) -> Pipeline:
    return handmade(store, make_corpus)


def paths(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_each_cell_of_the_grid_is_the_measure_of_its_exported_run(
    pipeline: Pipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    everything = pl.DataFrame(pipeline.grid.read_table("dev.parquet"))["composition"].unique().to_list()
    export(pipeline, tmp_path / "out", everything)
    compared = 0
    for application in APPLICATIONS:
        for split in ("dev", "test"):
            folder = tmp_path / "out" / application / split
            cells = pl.DataFrame(pipeline.grid.read_table(f"{split}.parquet")).filter(application=application)
            assert pl.read_parquet(folder / "per_query.parquet").equals(cells.drop("application"))
            for (name,), rows in cells.group_by("composition"):
                run = run_name(Composition.parse(str(name)))
                expected = {row.pop("query_id"): row for row in rows.drop("application", "composition").to_dicts()}
                saved = tmp_path / "out/predictions" / run / f"{application}_predictions.json"
                for file in (folder / "runs" / f"{run}.trec", saved):
                    capsys.readouterr()
                    arguments = ["--qrels", str(folder / "qrels.trec"), "--run", str(file), "--split", split]
                    assert measure([*arguments, "--measures", *pipeline.plan.grid.measures]) == 0
                    assert json.loads(capsys.readouterr().out)["per_query"] == expected
                    compared += 1
    assert compared == 2 * 2 * 2 * len(everything) > 100


def test_the_manifest_names_the_runs_and_every_file(pipeline: Pipeline, tmp_path: Path) -> None:
    export(pipeline, tmp_path / "out", [ORACLE, MIXED])
    notes = json.loads((tmp_path / "out/export.json").read_text())
    assert notes["compositions"] == {"base@3+oracle@10": ORACLE, "bm25@6+0.25+refine@10": MIXED}
    assert notes["finished"] and notes["grid"] == pipeline.grid.digest
    assert {*notes["files"], "export.json"} == paths(tmp_path / "out")
    run = (tmp_path / "out/counsel/dev/runs/bm25@6+0.25+refine@10.trec").read_text().splitlines()
    assert len(run) == 6 * 6 and all(line.endswith(" bm25@6+0.25+refine@10") for line in run)


def test_an_export_is_by_default_of_what_can_be_served_and_its_size_is_told_before(
    pipeline: Pipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export(pipeline, tmp_path / "out", [])
    said = capsys.readouterr().out
    chosen = find_compositions(pipeline.grid, [])
    assert chosen and all(composition.is_servable for composition in chosen)
    assert f"{len(chosen)} compositions, {len(paths(tmp_path / 'out')) - 1} files, about 0." in said
    estimate = float(said.partition("about ")[2].split()[0]) * 1e6
    written = sum(path.stat().st_size for kind in ("*+*.trec", "*_predictions.json") for path in tmp_path.rglob(kind))
    assert 0.7 * written < estimate < 1.5 * written


def test_an_export_replaces_its_own_files_only(pipeline: Pipeline, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export(pipeline, folder, [ORACLE, MIXED])
    (folder / "counsel/notes.txt").write_text("mine")
    export(pipeline, folder, [MIXED])
    left = paths(folder)
    assert {"counsel/notes.txt", "drafting/test/runs/bm25@6+0.25+refine@10.trec"} <= left
    assert not [path for path in left if "oracle" in path]
    assert not (folder / "predictions/base@3+oracle@10").exists()


@pytest.mark.parametrize("content", [None, "{}", "[", '{"files": 1}'])
def test_a_folder_of_something_else_is_refused(pipeline: Pipeline, tmp_path: Path, content: str | None) -> None:
    name = "notes.txt" if content is None else "export.json"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text(content or "mine")
    with pytest.raises(InputError, match="holds files and is not an export"):
        export(pipeline, tmp_path / "out", [MIXED])
    assert paths(tmp_path / "out") == {name}


def test_a_manifest_can_delete_nothing_outside_the_folder(pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/export.json").write_text('{"files": ["../mine", "counsel"]}')
    (tmp_path / "out/counsel").mkdir()
    export(pipeline, tmp_path / "out", [MIXED])
    assert (tmp_path / "mine").read_text() == "mine"


def test_an_unknown_composition_is_answered_with_those_like_it(pipeline: Pipeline) -> None:
    with pytest.raises(InputError) as refusal:
        find_compositions(pipeline.grid, ["retriever:robust@4 > reranker:refin@10"])
    message = str(refusal.value)
    assert message.startswith(
        "no composition 'retriever:robust@4 > reranker:refin@10': nearest first, there are 'retriever:robust@"
    )
    assert message.endswith(f" and {len(pipeline.grid.read_table('dev.parquet')) // 14 - 5} more")


def test_compositions_without_an_export_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["plan.yaml", "--composition", MIXED])
    assert "write --export DIR as well" in capsys.readouterr().err
