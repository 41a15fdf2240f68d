"""The command `mixstage`: its manual, its subcommands, how they were called, what a shell completes."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from mixstage import __version__
from mixstage.commands.console.main import COMMANDS, find_command, main
from mixstage.plan.load import load_plan

ROOT = Path(__file__).parents[2]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_manual_lists_every_command_in_its_group_and_comes_at_once() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run("-m", "mixstage", "--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0
    assert after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime < 1.5  # seconds, on a busy machine too
    assert done.stdout.index("Serving:") < done.stdout.index("  serve ") < done.stdout.index("Tools:")
    for name, text in COMMANDS.items():
        assert f"  {name:<12}{text}\n" in done.stdout


def test_every_file_of_the_commands_is_a_command_and_the_other_way_round() -> None:
    files = {path.stem for path in (ROOT / "lib/mixstage/commands").glob("*.py")} - {"__init__"}
    assert files == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_how_it_is_called(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"usage: mixstage {name}" in capsys.readouterr().out
    assert find_command(name).parser().prog == f"mixstage {name}"


def test_the_doors_are_the_same_commands_under_their_own_names() -> None:
    jobs = sorted(path.stem for path in (ROOT / "jobs").glob("*.py") if path.stem != "__init__")
    assert set(jobs) == set(COMMANDS) - {"serve", "completion"}
    assert run("-m", "jobs.train", "--help").stdout.startswith("usage: python -m jobs.train [-h]")
    assert run("-m", "serve.app", "--help").stdout.startswith("usage: python -m serve.app [-h]")


def test_the_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr() == (f"mixstage {__version__}\n", "")


def test_the_version_warns_of_two_distributions_over_the_same_files(tmp_path: Path) -> None:
    for name in ("mixstage", "mixstage-light"):
        folder = tmp_path / f"{name.replace('-', '_')}-1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT / 'lib'}"}
    command = [sys.executable, "-m", "mixstage", "--version"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert "`pip uninstall mixstage mixstage-light`, then install one of them" in done.stderr


def test_an_unknown_command_gets_those_most_like_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pipelin"]) == 2
    assert capsys.readouterr().err.startswith("mixstage: no command 'pipelin': nearest first, there are 'pipeline'")


def test_plans_that_ship_are_found_by_name_and_an_unknown_name_lists_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_plan("sample") == load_plan(ROOT / "jobs/plans/sample.yaml")
    assert main(["train", "samples"]) == 2
    assert "no plan at samples: give the path of a YAML file, or one that ships: label_names, legal, sample" in (
        capsys.readouterr().err
    )
    (tmp_path / "sample").write_text("name: [")
    monkeypatch.chdir(tmp_path)
    assert main(["train", "sample"]) == 2  # a file of that name comes first
    assert "no plan at" not in capsys.readouterr().err


def test_a_shell_completes_commands_options_and_plans(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "mixstage.bash"
    script.write_text(capsys.readouterr().out)

    def completed(*words: str) -> set[str]:
        line = " ".join(f"'{word}'" for word in ("mixstage", *words))
        ask = f"source {script}; COMP_WORDS=({line}); COMP_CWORD={len(words)}; _shtab_mixstage; echo ${{COMPREPLY[@]}}"
        done = subprocess.run(["bash", "-c", ask], cwd=tmp_path, capture_output=True, text=True, check=True)
        return set(done.stdout.split())

    assert completed("pi") == {"pipeline"}
    assert completed("index", "--pr") == {"--prune"}
    assert completed("train", "sam") == {"sample"}
    assert completed("release", "roll") == {"rollback"}
