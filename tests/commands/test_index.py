"""The index job's dry run: what it prints, what it refuses, and that it embeds nothing."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from mixstage.commands.console.forecast import deadline_line, duration, size
from mixstage.commands.index import main
from mixstage.corpus.tables import Corpus
from mixstage.embedding.vectors import Embedding
from mixstage.index.forecast import Work
from mixstage.index.generation import Generation
from mixstage.models.checkpoint import Checkpoint
from mixstage.store.store import Store


@pytest.fixture
def plan(tmp_path: Path) -> str:
    content: dict[str, Any] = {
        "name": "dry",
        "store": str(tmp_path / "store"),
        "corpora": {"statutes": {"source": "sample://statutes", "shard_kib": 64}},
        "applications": {"counsel": {"corpus": "statutes", "source": "sample://counsel"}},
        "retriever": {"base": "hashing://64", "stages": {"broad": {"steps": 2}}},
        "resources": {"embed": {"workers": 1}},
    }
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


def test_a_dry_run_tells_what_there_is_and_embeds_and_trains_nothing(
    ray_cluster: None, plan: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([plan, "--dry-run", "--deadline", "1h"]) == 0
    printed = capsys.readouterr().out
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed.splitlines() if "│" in line]
    read, base, broad, together = cells
    assert (read[0], read[1], read[4]) == ("statutes", "450", "0.0%")
    assert base[:3] == ["statutes", "base", "450"] and broad[:3] == ["statutes", "broad", "450"]
    assert base[4] == broad[4] == size(450 * 64 * 2) == "57.6 kB"
    assert together[2] == "900" and together[4] == "115.2 kB"
    assert "To be ready in 1.0 h: --set resources.embed.workers=1" in printed
    store = Store(str(tmp_path / "store"))
    assert {kind.kind: len(list(store.all(kind))) for kind in (Corpus, Embedding, Generation)} == {
        "corpus": 1,
        "embedding": 0,
        "generation": 0,
    }
    assert [one.meta["stage"] for one in store.all(Checkpoint)] == ["base"]


def test_a_deadline_that_is_none_is_refused_before_anything_starts(
    plan: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([plan, "--dry-run", "--deadline", "soon"]) == 2
    printed = capsys.readouterr()
    assert (
        printed.err.startswith("index: --deadline 'soon': write a number above 0 and s, m, h or d") and not printed.out
    )
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("extra", "message"),
    [(["--deadline", "2h"], "write --dry-run as well"), (["--dry-run", "--prune"], "leave --verify and --prune out")],
)
def test_flags_that_contradict_each_other_are_refused(
    plan: str, extra: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main([plan, *extra])
    assert left.value.code == 2 and message in capsys.readouterr().err


def test_a_deadline_that_no_number_of_workers_meets_is_said_with_the_reason() -> None:
    line = deadline_line(Work(total=1000, longest=90, start=30), 100, room=2)
    assert line.startswith("To be ready in 1.7 min: no number of workers is enough, opening models takes 30 s")
    assert "the longest shards 1.5 min" in line


def test_workers_for_which_there_is_no_room_are_said_to_take_a_cluster() -> None:
    """1,000 s of work, 10 s the longest item: 200 s take ceil(990 / 190) = 6 workers; two take 500 + 5 s."""
    work = Work(total=1000, longest=10, start=0)
    assert deadline_line(work, 200, room=6) == "To be ready in 3.3 min: --set resources.embed.workers=6"
    assert deadline_line(work, 200, room=2) == (
        "To be ready in 3.3 min: 6 workers, which takes a larger cluster; there is room for 2, with which it takes at "
        "most 8.4 min"
    )


def test_a_dry_run_over_a_finished_store_has_nothing_to_do_and_measures_nothing(
    ray_cluster: None, plan: str, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A base and a soup of it: nothing left. Another index: it is to be filled. A further stage: that one is left."""
    stages = ["--set", f"retriever.base={tiny_model}", "--set", "retriever.stages={blend: {soup: {of: [base, base]}}}"]
    arguments = [plan, "--set", "retriever.max_length=16", *stages]
    assert main(arguments) == 0
    capsys.readouterr()
    assert main([*arguments, "--dry-run", "--deadline", "1h"]) == 0
    printed = capsys.readouterr().out
    assert "Nothing to do: 2 indexes are in the store" in printed and "measuring" not in printed
    assert main([*arguments, "--set", "index.factory=SQ8", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "Nothing to embed: every vector is in the store" in printed
    assert "to be filled for statutes x base, statutes x blend" in printed
    assert main([*arguments, "--set", "retriever.stages.late={steps: 2}", "--dry-run"]) == 0
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    left = {cells[1]: cells[2] for cells in rows if cells[:1] == ["statutes"] and cells[1] != "450"}
    assert left == {"base": "in the store", "blend": "in the store", "late": "450"}


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.24, "0.2 s"), (12.3, "12 s"), (90, "1.5 min"), (7200, "2.0 h"), (172800, "2.0 d")]
)
def test_durations_have_the_unit_that_suits_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(999, "999 B"), (1_234_567, "1.2 MB"), (3e9, "3.0 GB"), (2e12, "2.0 TB")])
def test_sizes_have_the_unit_that_suits_them(count: float, text: str) -> None:
    assert size(count) == text
