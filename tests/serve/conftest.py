"""The registry that tests of the gateway release to."""

from pathlib import Path

import pytest

from mixstage.release.registry import Registry
from tests.serve.fakes import Answering


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Empty; what is released to it answers at once."""
    return Answering(f"sqlite:///{tmp_path}/registry.db")
