"""The site: what is generated is as the code is now, and it builds without a warning and without a network."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

_ASKS = re.compile(r"<(?:script|link|img|iframe)[^>]*\s(?:src|href)=\"?(?:https?:)?//")


def test_the_http_page_says_what_the_gateway_says() -> None:
    from docs import openapi

    schema = openapi.describe()
    assert openapi.is_written("http.md", openapi.page(schema)), "run `make docs`"
    assert openapi.main(["--check"]) == 0


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
