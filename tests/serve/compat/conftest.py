"""A gateway that serves "app" by a retriever and a reranker."""

import pytest
from fastapi.testclient import TestClient

from mixstage.release.record import Note
from mixstage.release.registry import Registry
from tests.serve.compat.fakes import Fakes, pin
from tests.serve.fakes import gateway


@pytest.fixture
def components() -> Fakes:
    return Fakes()


@pytest.fixture
def client(registry: Registry, components: Fakes) -> TestClient:
    registry.promote("app", pin("retriever:robust@5 > reranker:refine@10"), Note())
    return gateway(registry, components)
