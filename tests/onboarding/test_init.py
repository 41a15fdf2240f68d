"""`mixstage init`: what it finds in a folder, proposes for a machine, says is missing, and refuses."""

import gzip
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mixstage.commands.init import main
from mixstage.onboarding.init import init
from mixstage.onboarding.machine import Machine
from mixstage.onboarding.proposal import split_command
from mixstage.plan.load import load_plan
from mixstage.plan.reference import SCHEMA_FILE
from mixstage.plan.schema import Plan

BASE = "hashing://64"  # counts words as tokens
LAPTOP = Machine(cores=2, memory_gb=16, gpus=0)
SERVER = Machine(cores=32, memory_gb=256, gpus=4)
# "Title N" and seven words: a token each
DOCUMENTS = [{"_id": f"d{n}", "title": f"Title {n}", "text": f"the deposit {n} is returned to him"} for n in range(12)]
QUERIES = [{"_id": f"q{n}", "text": f"what is returned {n}"} for n in range(12)]
Write = Callable[..., Path]


def judged(start: int, stop: int, grade: int = 1) -> list[tuple[str, str, object]]:
    return [(f"q{n}", f"d{n}", grade) for n in range(start, stop)]


@pytest.fixture
def data(beir: Write) -> Path:
    """Twelve documents and queries, all judged: six in train, three each in dev and test."""
    return beir("2024", documents=DOCUMENTS, queries=QUERIES, train=judged(0, 6), dev=judged(6, 9), test=judged(9, 12))


def plan_for(folder: Path, machine: Machine = LAPTOP) -> Plan:
    out = folder.parent / "plan.yaml"
    init(str(folder), out, BASE, machine=machine, force=True)
    return load_plan(out)


def test_a_plan_holds_what_the_folder_holds(data: Path) -> None:
    plan = plan_for(data)
    assert plan.name == "2024"  # in quotes: YAML would read a number
    assert {name: part.source for name, part in plan.corpora.items()} == {"2024": str(data)}
    assert plan.corpora["2024"].language == "english"
    assert plan.applications["2024"].corpus == "2024"
    assert list(plan.retriever.stages) == ["broad", "refine"]
    assert plan.reranker.base == "retriever:refine"


def test_its_comments_say_counts_lengths_and_further_columns(data: Path, beir: Write) -> None:
    plan_for(data)
    text = (data.parent / "plan.yaml").read_text()
    assert text.startswith(f"# yaml-language-server: $schema={SCHEMA_FILE}\n")
    assert "12 documents, 12 distinct titles; tokens: half have up to 9, 95% up to 9" in text
    assert "judged queries: 6 train, 3 dev, 3 test; 1.0 right documents a query, binary judgements" in text
    assert "MISSING" not in text and "metadata" not in text
    more = [{**row, "year": 2000, "metadata": {"court": "A", "odd": n % 2 or "x"}} for n, row in enumerate(DOCUMENTS)]
    columns = beir("columns", documents=more, queries=QUERIES, dev=judged(0, 2), test=judged(2, 4))
    plan_for(columns)
    assert "# metadata: {court: string, year: integer}" in (data.parent / "plan.yaml").read_text()


def test_a_laptop_reads_short_texts_in_few_steps_and_a_server_long_ones_in_an_epoch(beir: Write) -> None:
    """300 words a document; 3,000 judged pairs. A laptop: 128 tokens; a step of 24 pairs reads 2 x 24 x 128 = 6,144
    tokens, 4.7 s at 1,300 tokens a second, so that 25 fit into two minutes. A GPU: 304 tokens, 24 steps of 128 are an
    epoch."""
    documents = [{"_id": f"d{n}", "text": f"{n} " + "word " * 299} for n in range(3200)]
    queries = [{"_id": f"q{n}", "text": f"query {n}"} for n in range(3200)]
    splits = {"train": judged(0, 3000), "dev": judged(3000, 3200)}
    folder = beir(
        documents=documents, queries=[*queries, {"_id": "t", "text": "last"}], test=[("t", "d0", 1)], **splits
    )
    plan = plan_for(folder)
    assert (plan.retriever.max_length, plan.retriever.stages["broad"].steps) == (128, 25)
    assert (plan.resources.embed.workers, plan.resources.embed.cpus) == (1, 2)
    assert plan.applications["beir"].queries.model_dump() == {"dev": 150, "test": None}
    plan = plan_for(folder, SERVER)
    broad = plan.retriever.stages["broad"]
    assert (plan.retriever.max_length, broad.batch_size, broad.steps) == (304, 128, 24)
    assert (plan.resources.train.workers, plan.resources.train.gpus, plan.grid.depths) == (4, 1, (20, 60, 100))
    assert plan.applications["beir"].queries.model_dump() == {"dev": None, "test": None}


def test_applications_beside_a_corpus_share_it_and_a_folder_with_a_corpus_searches_its_own(beir: Write) -> None:
    splits: dict[str, Any] = {"dev": judged(0, 2), "test": judged(2, 4)}
    beir("all", documents=DOCUMENTS)
    beir("all/counsel", queries=QUERIES, **splits)
    folder = beir("all/own", documents=DOCUMENTS[:4], queries=QUERIES, **splits).parent
    plan = plan_for(folder)
    assert {name: part.corpus for name, part in plan.applications.items()} == {"counsel": "all", "own": "own"}
    assert (plan.grid.ranking_depth, plan.grid.depths) == (4, (4,))  # the smaller corpus has four documents


def test_without_train_judgements_stages_learn_from_the_corpus(beir: Write) -> None:
    untitled = [{**row, "title": ""} for row in DOCUMENTS]
    for documents, samples in ((DOCUMENTS, {"title": 0.5, "cloze": 0.5}), (untitled, {"cloze": 1.0})):
        plan = plan_for(beir(documents=documents, queries=QUERIES, dev=judged(0, 2), test=judged(2, 4)))
        assert {name: stage.samples for name, stage in plan.retriever.stages.items()} == {"broad": samples}


def test_graded_judgements_bring_a_stage_for_the_surest_ones_as_a_comment(beir: Write) -> None:
    splits = {"train": judged(0, 6, grade=2), "dev": judged(6, 9), "test": judged(9, 12)}
    plan_for(folder := beir(documents=DOCUMENTS, queries=QUERIES, **splits))
    text = (folder.parent / "plan.yaml").read_text()
    assert "grades up to 2" in text and "#   mine: {min_grade: 2, depth: 12, negatives: 2}" in text


def test_a_missing_split_is_said_with_a_command_that_makes_it(
    beir: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Queries 0 and 5 of six go to dev, with all their judgements."""
    train = [*judged(0, 6), ("q0", "d11", 1)]
    folder = beir(documents=DOCUMENTS, queries=QUERIES, train=train, test=judged(9, 12))
    arguments = [str(folder), "--out", str(tmp_path / "plan.yaml"), "--base", BASE]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "missing: beir: no qrels/dev.tsv." in printed
    assert f"(after what is missing) mixstage prepare {tmp_path / 'plan.yaml'}" in printed
    command = next(line for line in printed.splitlines() if line.startswith("  cd "))
    subprocess.run(["sh", "-c", command], check=True)
    assert (folder / "qrels/dev.tsv").read_text().splitlines()[1:] == ["q0\td0\t1", "q5\td5\t1", "q0\td11\t1"]
    assert len((folder / "qrels/train.tsv").read_text().splitlines()) == 5
    assert main([*arguments, "--force"]) == 0
    printed = capsys.readouterr().out
    assert "missing:" not in printed and "application beir: 12 queries, judged: train 4, dev 2, test 3" in printed


@pytest.mark.parametrize(
    ("files", "note"),
    [
        ({}, "no queries.jsonl: write at least 50 real questions"),
        ({"queries": QUERIES}, "no judgements: stages can learn from weak sources without any"),
        (
            {"queries": QUERIES, "dev": judged(0, 2), "test": judged(2, 4)},
            "no qrels/train.tsv: its stages learn from weak",
        ),
    ],
)
def test_what_is_missing_is_said_and_stands_in_the_plan(beir: Write, files: dict[str, Any], note: str) -> None:
    folder = beir(documents=DOCUMENTS, **files)
    assert note in init(str(folder), folder.parent / "plan.yaml", BASE, machine=LAPTOP)
    assert f"# MISSING beir: {note}" in (folder.parent / "plan.yaml").read_text()
    load_plan(folder.parent / "plan.yaml")


def test_a_base_that_does_not_know_the_script_is_said(beir: Write, tiny_model: Path) -> None:
    documents = [{"_id": "a", "title": "合同", "text": "依法成立的合同，受法律保护。"}]
    folder = beir(documents=documents, queries=QUERIES)
    said = init(str(folder), folder.parent / "plan.yaml", str(tiny_model), machine=LAPTOP)
    assert "of the tokens are unknown to it, so it can't read these texts well: give --base a multilingual" in said


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main([*arguments, "--base", BASE]) == 2
    return capsys.readouterr().err


def test_rows_that_prepare_would_refuse_are_shown_with_file_line_and_remedy(
    beir: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "plan.yaml")
    broken = beir("broken", documents=[*DOCUMENTS, "nothing", {"_id": "d1", "text": "again"}], queries=QUERIES)
    said = refusal(capsys, str(broken), "--out", out)
    assert "2 rows that `mixstage prepare` would refuse" in said
    assert "corpus.jsonl:13: unreadable JSON" in said and "corpus.jsonl:14: duplicate id 'd1'; keep one" in said
    strange = beir("strange", documents=DOCUMENTS, queries=QUERIES, dev=[("q0", "d99", 1)], test=[("q77", "d1", 1)])
    said = refusal(capsys, str(strange), "--out", out)
    assert "qrels/dev.tsv:2: query 'q0' judges 'd99', which is not in the corpus" in said
    assert "qrels/test.tsv:2: query 'q77' is not in queries.jsonl" in said
    assert not Path(out).exists()


def test_a_folder_without_a_corpus_is_refused_with_what_to_put_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "laws.csv").write_text("id,text\n")
    said = refusal(capsys, str(tmp_path))
    assert "holds no corpus.jsonl (there is laws.csv): write a file corpus.jsonl with a line" in said
    assert "is not a folder" in refusal(capsys, str(tmp_path / "gone"))


def test_a_plan_that_is_there_is_not_replaced_without_being_asked(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("2024.yaml").write_text("mine")
    assert "2024.yaml is there already: name another file with --out" in refusal(capsys, str(data))
    assert Path("2024.yaml").read_text() == "mine"
    assert main([str(data), "--base", BASE, "--force"]) == 0
    assert yaml.safe_load(Path("2024.yaml").read_text())["name"] == "2024"
    assert f"  {shlex.join(['mixstage', 'pipeline', '2024.yaml'])}\n" in capsys.readouterr().out


def test_the_plan_passes_prepare(
    ray_cluster: None, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mixstage.commands.prepare import main as prepare

    monkeypatch.setenv("MIXSTAGE_STORE", str(tmp_path / "store"))
    plan_for(data)
    assert prepare([str(data.parent / "plan.yaml")]) == 0


def test_a_real_collection_gets_a_plan(shared_data: Path, tmp_path: Path) -> None:
    init(str(shared_data / "stard_small"), tmp_path / "plan.yaml", BASE, machine=LAPTOP)
    plan = load_plan(tmp_path / "plan.yaml")
    assert plan.corpora["stard_small"].language == "chinese"
    assert plan.applications["stard_small"].queries.test == 300


@pytest.mark.parametrize(("name", "end"), [("train.tsv", "\r\n"), ("train.tsv.gz", "\n")])
def test_the_command_that_splits_judgements_knows_windows_lines_and_gzip(tmp_path: Path, name: str, end: str) -> None:
    rows = ["query-id\tcorpus-id\tscore", *(f"q{i}\td{i}\t1" for i in range(10))]
    data = "".join(row + end for row in rows).encode()
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    subprocess.run(["bash", "-c", split_command(str(tmp_path), "train", "dev")], check=True)
    parts = [(tmp_path / "qrels" / f"{part}.tsv").read_text().splitlines() for part in ("train", "dev")]
    assert [len(part) for part in parts] == [9, 3]
    assert {part[0] for part in parts} == {rows[0]}
