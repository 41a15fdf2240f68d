"""The job that makes, lists and revokes API keys."""

from pathlib import Path

import pytest
import yaml

from mixstage.commands.keys import main
from mixstage.release.keys import Keys, hash_key
from mixstage.release.registry import Registry


@pytest.fixture
def plan(tmp_path: Path) -> str:
    (tmp_path / "store").mkdir()
    raw = {
        "name": "guarded",
        "store": str(tmp_path / "store"),
        "corpora": {"statutes": {"source": "sample://statutes"}},
        "applications": {"counsel": {"corpus": "statutes", "source": "sample://counsel"}},
    }
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(raw))
    return str(tmp_path / "plan.yaml")


def valid(plan: str) -> tuple[str, ...]:
    return Keys(Registry(f"sqlite:///{Path(plan).parent}/store/registry.db").engine).valid()


def test_a_key_is_told_once_and_listed_by_name(plan: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["create", plan, "counsel"]) == 0
    key = capsys.readouterr().out.strip()
    assert valid(plan) == (hash_key(key),)
    assert main(["list", plan]) == 0
    told = capsys.readouterr().out
    assert "counsel" in told and key not in told
    assert main(["revoke", plan, "counsel"]) == 0
    assert valid(plan) == ()


def test_the_last_key_of_a_gateway_that_others_reach_can_not_be_revoked(
    plan: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["create", plan, "first"])
    assert main(["revoke", plan, "first", "--set", "serving.host=0.0.0.0"]) == 2
    assert "there would be no API key" in capsys.readouterr().err
    main(["create", plan, "second"])
    assert main(["revoke", plan, "first", "--set", "serving.host=0.0.0.0"]) == 0
    assert len(valid(plan)) == 1


def test_names_are_checked(plan: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["create", plan, "counsel"])
    assert main(["create", plan, "counsel"]) == 2
    assert main(["revoke", plan, "nobody"]) == 2
    assert "no valid key is called 'nobody'" in capsys.readouterr().err
