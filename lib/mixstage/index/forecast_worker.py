"""What a worker measures on a sample of a corpus: lengths of texts, the model's speed, the size of an index."""

import math
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixstage.corpus.tables import Corpus
from mixstage.embedding.worker import read_texts
from mixstage.index.faiss_files import fill, train_index, write
from mixstage.models.checkpoint import Checkpoint
from mixstage.models.encoder import Encoder, SentenceEncoder, Tokens
from mixstage.models.quantised import open_precise
from mixstage.plan.schema import IndexPlan
from mixstage.plan.stages import Workers

_SAMPLED_SHARDS = 8
_SAMPLED = 2000  # documents whose tokens are counted
_WARM = 16  # documents that say how many fill a measurement
_MEASURED_SECONDS = 3.0  # of one budget in one round
_ENCODED = (32, 512)  # documents that a measurement encodes: at least, at most
_ROUNDS = 3
_CPU_BUDGETS, _GPU_BUDGETS = (1024, 2048, 4096), (16384, 32768, 65536)
_GAIN = 0.03  # share by which another budget has to be faster before it is recommended: below it is noise
_INDEX_ROWS = 10_000  # random vectors of a sample index: enough for 256 centroids of 39 vectors, FAISS's minimum
_LISTS = 64  # of a sample index whose factory has more


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a worker measured on documents of one corpus."""

    tokens: float  # of a document, mean, after truncation
    truncated: float  # share of the documents
    speeds: Mapping[int | None, float]  # budget -> tokens a second, padding not counted; None: the model knows none
    planned: int | None  # the plan's budget
    start: float  # seconds until the model was open, imports included
    peak: int  # bytes in memory at the plan's budget
    share: float  # of its CPUs that the worker got while it encoded; half of it and less on a busy machine
    dim: int

    @property
    def best(self) -> int | None:
        """The fastest budget; the plan's if none is faster by more than noise."""
        best = max(self.speeds, key=lambda budget: self.speeds[budget])
        return best if self.speeds[best] > (1 + _GAIN) * self.speeds[self.planned] else self.planned


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Bytes of a FAISS file, by the vectors that it holds."""

    row: float  # bytes a vector
    fixed: float  # bytes a file: centroids, codebooks, header

    def bytes(self, rows: int, files: int) -> int:
        """Bytes of a generation: its files, and the trained empty index that it keeps."""
        return math.ceil(rows * self.row + (files + 1) * self.fixed)


def budgets_for(limit: int, planned: int, on_gpu: bool) -> list[int]:
    """Candidates, the plan's first; none below the longest text."""
    others = {max(budget, limit) for budget in (_GPU_BUDGETS if on_gpu else _CPU_BUDGETS)}
    return [planned, *sorted(others - {planned})]


def measure(corpus: Corpus, checkpoint: Checkpoint, settings: IndexPlan, workers: Workers) -> Sample:
    """What a task does: opens the model, counts tokens, encodes with several budgets."""
    seconds = _watch()
    encoder = open_precise(checkpoint, settings.precision, settings.batch_tokens)
    start = seconds()
    texts = _sample_texts(corpus)
    seconds = _watch()
    tokens = encoder.tokenise(texts, "document")
    reading = seconds() / max(1, int(tokens.lengths.sum()))
    planned = encoder.budget if isinstance(encoder, SentenceEncoder) else None
    some = _every(tokens, _enough(encoder, tokens))
    encoder.embed(some)
    peak = peak_bytes()
    budgets: list[int | None] = [planned]
    if isinstance(encoder, SentenceEncoder):
        budgets = [*budgets_for(encoder.limit, encoder.budget, workers.gpus > 0)]
    seconds, worked = _watch(), time.process_time()
    spent = _time(encoder, some, budgets)
    share = (time.process_time() - worked) / seconds() / workers.cpus
    return Sample(
        tokens=float(tokens.lengths.mean()),
        truncated=float(tokens.truncated.mean()),
        speeds={budget: 1 / (reading + taken / int(some.lengths.sum())) for budget, taken in spent.items()},
        planned=planned,
        start=start,
        peak=peak,
        share=share,
        dim=encoder.dim,
    )


def _sample_texts(corpus: Corpus) -> list[str]:
    """Documents from all over the corpus, each shard with its share."""
    names = corpus.names("documents/", ".parquet")
    chosen = [names[place] for place in _spread(len(names), _SAMPLED_SHARDS)]
    rows = sum(corpus.files[name]["rows"] for name in chosen)
    step = max(1, rows // _SAMPLED)
    return [text for name in chosen for text in read_texts(corpus, "document", name)["text"].to_pylist()[::step]]


def _spread(size: int, most: int) -> list[int]:
    """At most so many places, evenly over range(size)."""
    count = min(size, most)
    return [place * size // count for place in range(count)]


def _every(tokens: Tokens, count: int) -> Tokens:
    places = _spread(len(tokens.ids), count)
    return Tokens(ids=[tokens.ids[place] for place in places], truncated=tokens.truncated[places])


def _enough(encoder: Encoder, tokens: Tokens) -> int:
    """Documents that take about as long as a measurement should."""
    few = _every(tokens, _WARM)
    encoder.embed(few)
    seconds = _watch()
    encoder.embed(few)
    least, most = _ENCODED
    return min(most, max(least, int(_MEASURED_SECONDS * len(few.ids) / max(seconds(), 1e-6))))


def _time(encoder: Encoder, tokens: Tokens, budgets: Sequence[int | None]) -> dict[int | None, float]:
    """budget -> median seconds; budgets take turns, so that other work on the machine slows all of them."""
    taken: dict[int | None, list[float]] = {budget: [] for budget in budgets}
    for _ in range(_ROUNDS):
        for budget in budgets:
            if isinstance(encoder, SentenceEncoder) and budget is not None:
                encoder.budget = budget
            seconds = _watch()
            encoder.embed(tokens)
            taken[budget].append(seconds())
    return {budget: float(np.median(times)) for budget, times in taken.items()}


def measure_index(dim: int, settings: IndexPlan) -> Size:
    """Builds a small index by the plan's factory over random vectors; sizes do not depend on what vectors say.

    A factory with many lists is measured with few: what a file holds beside its vectors grows with their number.
    """
    lists = re.search(r"(?<=IVF)\d+", settings.factory)
    times = max(1.0, int(lists[0]) / _LISTS) if lists else 1.0
    if lists and times > 1:
        small = settings.factory[: lists.start()] + str(_LISTS) + settings.factory[lists.end() :]
        settings = settings.model_copy(update={"factory": small})
    vectors = np.random.default_rng(0).standard_normal((_INDEX_ROWS, dim), dtype=np.float32)
    half, whole = _grow(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), settings)
    row = (whole - half) / (_INDEX_ROWS - _INDEX_ROWS // 2)
    return Size(row=row, fixed=times * max(0.0, whole - row * _INDEX_ROWS))


def _grow(vectors: np.ndarray, settings: IndexPlan) -> Iterator[int]:
    """Bytes of the file with half of the vectors, then with all."""
    index = train_index(vectors, settings)
    middle = len(vectors) // 2
    with tempfile.TemporaryDirectory() as folder:
        for part in (vectors[:middle], vectors[middle:]):
            fill(index, [part], settings)
            write(index, Path(folder) / "index", settings)
            yield (Path(folder) / "index").stat().st_size


def peak_bytes() -> int:
    """Most memory that this process ever had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10  # Linux counts in KiB


def _watch() -> Callable[[], float]:
    begin = time.perf_counter()
    return lambda: time.perf_counter() - begin
