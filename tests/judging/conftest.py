"""A handmade plan's page, and the Chromium of this machine."""

import shutil
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

import pytest

from jobs.judge import make_page
from mixstage.pipeline import Pipeline
from mixstage.store import Artifact, Store
from tests.conftest import CorpusMaker
from tests.handmade import handmade

A, B = "retriever:robust@6 > reranker:refine@10", "bm25@6 > none@10"


@pytest.fixture
def pipeline(store: Store, make_corpus: CorpusMaker) -> Pipeline:
    return handmade(store, make_corpus)


def asked(**options: Any) -> Namespace:
    given: dict[str, Any] = {"a": A, "b": B, "queries": 8, "application": None, "split": "dev", "k": 3}
    return Namespace(**(given | options))


@pytest.fixture
def page(pipeline: Pipeline) -> Artifact:
    return make_page(pipeline, asked())


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A browser; one of the machine's, so that nothing is downloaded."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[dev]'")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium on this machine: the page is not tested in a browser")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program)
        yield browser
        browser.close()
