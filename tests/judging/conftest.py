"""A handmade plan and the page that is made of it."""

from argparse import Namespace
from typing import Any

import pytest

from mixstage.commands.judge import make_page
from mixstage.judging.ask import Page
from mixstage.pipeline import Pipeline
from mixstage.store.store import Store
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
def page(pipeline: Pipeline) -> Page:
    return make_page(pipeline, asked())
