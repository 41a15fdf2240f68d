"""The clients of LangChain and LlamaIndex, in an environment of their own: see tests/serve/clients."""

import json
import math
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mixstage.release.record import Note
from tests.listening import listening
from tests.serve.compat.fakes import Fakes, pin, whole
from tests.serve.fakes import Answering, gateway

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "tests" / "serve" / "clients" / "ask.py"
VECTORS = [pytest.approx([7, -1, 0.1]), pytest.approx([5, -1, 0.1]), pytest.approx([4, -1, 0.1])]
RERANKED = [["b 2", pytest.approx(1 / (1 + math.exp(-2)))], ["c 0.5", pytest.approx(1 / (1 + math.exp(-0.5)))]]
LOGITS = {"d3": 3, "d2": 2}
FOUND = [
    [whole(name), {"document_id": name, "title": title, "score": pytest.approx(1 / (1 + math.exp(-LOGITS[name])))}]
    for name, title in (("d3", "Rent"), ("d2", ""))
]
EXPECTED: dict[str, Any] = {
    "langchain_openai": VECTORS,
    "langchain_infinity": VECTORS,
    "llamaindex_embeddings": VECTORS,
    "langchain_cohere_rerank": RERANKED,
    "langchain_jina_rerank": RERANKED,
    "langchain_jina_error": "no reranker of that name: there are reranker:refine, reranker-kkkkkkkkkkkk",
    "langchain_infinity_rerank": RERANKED,
    "llamaindex_rerank": RERANKED,
    "langchain_remote": FOUND,
    "langchain_plugin": FOUND,
}


@pytest.fixture(scope="module")
def got(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each client got."""
    python = Path(os.environ.get("MIXSTAGE_CLIENTS_VENV", ROOT / ".venv-clients")) / "bin" / "python"
    if not python.is_file():
        pytest.skip(f"no {python}: `make test-clients` installs LangChain and LlamaIndex and runs this")
    registry = Answering(f"sqlite:///{tmp_path_factory.mktemp('clients')}/registry.db")
    registry.promote("app", pin("retriever:robust@5 > reranker:refine@10"), Note())
    with listening(gateway(registry, Fakes()).app) as url:
        command = [str(python), str(SCRIPT), url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("client", EXPECTED)
def test_a_client_of_a_framework_gets_what_it_asked_for(got: dict[str, Any], client: str) -> None:
    assert got[client] == EXPECTED[client]


def test_every_client_was_asked(got: dict[str, Any]) -> None:
    assert set(got) == set(EXPECTED)
