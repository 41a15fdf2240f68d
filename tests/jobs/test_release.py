"""The release job refuses before it works."""

from pathlib import Path

import pytest

from jobs.release import main

PLAN = Path(__file__).resolve().parent.parent.parent / "jobs" / "plans" / "sample.yaml"


def test_an_unknown_application_is_refused_before_any_phase_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MIXSTAGE_STORE", str(tmp_path / "store"))
    assert main(["promote", str(PLAN), "--application", "nobody"]) == 2
    assert "no application 'nobody': there are counsel, casework, drafting" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()
