"""A generation larger than one process' share: its files in groups, each opened and searched by its own process."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mixstage.indexing.faiss_files import FaissFiles
from mixstage.indexing.lexical import LexicalIndex, open_lexical
from mixstage.store import Artifact

Part = list[dict[str, Any]]  # neighbouring files, as the generation's meta lists them


def divide(generation: Artifact, count: int) -> list[Part]:
    """The generation's files in `count` groups in row order; in as many as there are files if those are fewer."""
    files = generation.meta["shards"]
    cuts = np.array_split(np.arange(len(files)), min(count, len(files)))
    return [[files[number] for number in cut] for cut in cuts]


def open_part(generation: Artifact, part: Part) -> FaissFiles | LexicalIndex:
    """Fetches and opens these files and no others."""
    return (open_lexical if generation.meta["retriever"] == "bm25" else FaissFiles.open)(generation, part)


def edges_of(parts: Sequence[Part]) -> list[tuple[int, int]]:
    """(first row, the row after the last) of each part."""
    return [(part[0]["start"], part[-1]["stop"]) for part in parts]
