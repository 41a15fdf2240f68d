"""jobs.release, as a user types it."""

import json
from typing import Any

import pytest

from mixstage.commands.release import main


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """What a command answers as JSON."""
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command says that refuses."""
    assert main(arguments) == 2
    return capsys.readouterr().err
