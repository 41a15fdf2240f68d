"""The site: what is generated is as the code is now, and it builds without a warning and without a network."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mixstage
from docs import write
from mixstage.commands.console.main import COMMANDS
from tests.docs.pages import ROOT

_ASKS = re.compile(r"<(?:script|link|img|iframe)[^>]*\s(?:src|href)=\"?(?:https?:)?//")


def test_pages_that_the_code_tells_are_as_the_code_is_now(capsys: pytest.CaptureFixture[str]) -> None:
    assert write.main(["--check"]) == 0, capsys.readouterr().out


def test_every_command_and_every_own_route_has_its_place() -> None:
    commands = (write.FOLDER / "cli.md").read_text(encoding="utf-8")
    assert all(f"### mixstage {name}\n" in commands for name in COMMANDS)
    assert "#### mixstage release canary\n" in commands and "| `--share SHARE` |" in commands
    routes = (write.FOLDER / "http.md").read_text(encoding="utf-8")
    assert "## POST /v1/search\n" in routes and "| `query` | string | required | at most 8192 characters |" in routes


def test_every_public_name_is_on_the_python_page() -> None:
    page = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    assert not [name for name in mixstage.__all__ if not re.search(rf"mixstage\.{name}\b", page)]


def test_examples_in_docstrings_become_code() -> None:
    pytest.importorskip("griffe", reason="pip install -e '.[docs]'")
    from docs.doctests import fenced

    assert fenced("Opens.\n\n>>> f(1)  # doctest: +SKIP\n2\n\nRaises.") == (
        "Opens.\n\n```python\n>>> f(1)\n2\n```\n\nRaises."
    )


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_asks_for_nothing(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="pip install -e '.[docs]'")
    built = subprocess.run(
        [sys.executable, "-c", _BUILD, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False, env=_ENV
    )
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 10
    asking = [page for page in pages if _ASKS.search(page.read_text(encoding="utf-8"))]
    assert not asking, "a page loads something from elsewhere"


_ENV = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
# Sockets are refused while the site is built: whatever would fetch something fails the build.
_BUILD = """
import socket, sys
def refuse(*_, **__): raise OSError("no network here")
socket.socket.connect = refuse
from mkdocs.__main__ import cli
cli(["build", "--quiet", "--strict", "--site-dir", sys.argv[1]])
"""
