"""What a worker does to time answers: one query after the other through every component, the clock around each.

A round takes one query through all components, so that whatever else the machine does meets all of them alike.
"""

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mixstage.index.bm25 import open_lexical
from mixstage.index.faiss_files import FaissFiles
from mixstage.index.generation import Generation
from mixstage.index.search import DenseIndex, Index
from mixstage.models.checkpoint import Checkpoint, RetrieverModel, open_encoder, open_reranker
from mixstage.models.encoder import Encoder
from mixstage.models.reranker import Reranker

LEAST = 5  # queries of an application that are timed, however long they take
MOST = 30  # that are timed

K = TypeVar("K", bound=Hashable)
Step = Callable[[int], object]  # does the work for the query of that number
Place = tuple[str, str, int]  # (application, component, candidates it scores; 0 for a retriever)
Times = dict[Place, NDArray[np.float64]]  # (n,) milliseconds of the application's queries


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Queries of an application and what a reranker is handed of them."""

    application: str
    corpus: str
    queries: list[str]  # (n,)
    candidates: list[list[str]]  # (n,) texts of documents, best first


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """What is timed. Indexes by (corpus, retriever); BM25 has no model to open."""

    retrievers: dict[str, RetrieverModel]
    generations: dict[tuple[str, str], Generation]
    rerankers: dict[str, Checkpoint]


def time_answers(
    samples: Sequence[Sample], components: Components, depths: Sequence[int], k: int, seconds: float
) -> tuple[Times, str]:
    """Milliseconds of every component, the k best of each retriever; and the name of what it ran on."""
    encoders = {
        name: open_encoder(model) for name, model in components.retrievers.items() if isinstance(model, Checkpoint)
    }
    rerankers = {name: open_reranker(checkpoint) for name, checkpoint in components.rerankers.items()}
    times: Times = {}
    for sample in samples:
        indexes = {name: _index(components, sample.corpus, name, encoders) for name in components.retrievers}
        steps: dict[Place, Step] = {
            (sample.application, f"retriever:{name}", 0): partial(_retrieve, index, sample.queries, k)
            for name, index in indexes.items()
        }
        for name, reranker in rerankers.items():
            for place, depth in enumerate(depths):
                step = partial(_rerank, reranker, sample, depth, " " * place)
                steps[sample.application, f"reranker:{name}", depth] = step
        times |= time_each(steps, len(sample.queries), seconds=seconds / len(samples))
    return times, device()


def time_each(
    steps: Mapping[K, Step], count: int, *, seconds: float, clock: Callable[[], float] = time.perf_counter
) -> dict[K, NDArray[np.float64]]:
    """Milliseconds of every step, (n,) each, n the same for all: of `count` queries or those that fit in `seconds`, but
    not fewer than LEAST.

    The first query goes through all steps untimed, since buffers and threads start then, and it is left out: models may
    remember it. Where it is the only one it is timed after all.
    """
    for step in steps.values() if count else ():
        step(0)
    end = clock() + seconds
    taken: dict[K, list[float]] = {key: [] for key in steps}
    for done, number in enumerate(range(0 if count == 1 else 1, count)):
        if done >= LEAST and clock() >= end:
            break
        for key, step in steps.items():
            start = clock()
            step(number)
            taken[key].append(1000 * (clock() - start))
    return {key: np.array(times) for key, times in taken.items()}


def device() -> str:
    """The name of this machine's processor, and of its GPU if there is one."""
    import torch

    names = [torch.cuda.get_device_name()] if torch.cuda.is_available() else []
    return " and ".join([f"{processor()} ({torch.get_num_threads()} threads)", *names])


def processor() -> str:
    """The processor's name by the system; "unknown" where it gives none."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else "unknown"


def _index(components: Components, corpus: str, name: str, encoders: Mapping[str, Encoder]) -> Index:
    generation = components.generations[corpus, name]
    return DenseIndex(FaissFiles.open(generation), encoders[name]) if name in encoders else open_lexical(generation)


def _retrieve(index: Index, queries: Sequence[str], k: int, number: int) -> None:
    index.search([queries[number]], k)


def _rerank(reranker: Reranker, sample: Sample, depth: int, more: str, number: int) -> None:
    """more: white space, which no tokenizer reads. A late interaction remembers the queries that it read; at each depth
    this is another text to it."""
    documents = sample.candidates[number][:depth]
    reranker.score([sample.queries[number] + more] * len(documents), documents)
