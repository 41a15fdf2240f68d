"""How texts are told apart: digests, keys, and whether two are the same words."""

import hashlib
import heapq
import importlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
import polars as pl
from mixstage.cluster import run_tasks
from mixstage.errors import PlanError
from mixstage.plan.stages import (StagePlan, Workers)
from mixstage.store.store import Artifact
from mixstage.training.samples.supervision import Supervision
from mixstage.corpus.documents import document_text
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
import polars as pl
import pyarrow as pa
from mixstage.corpus.collection import Collection
from mixstage.corpus.metadata import FOLDER, field_of, metadata_table, read_fields
from mixstage.errors import InputError
from mixstage.plan.schema import FieldType
from mixstage.store.store import (Artifact, Draft)
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any
import polars as pl
import pyarrow as pa
from mixstage.corpus.collection import SPLITS, Collection
from mixstage.corpus.documents import iterate_documents
from mixstage.errors import InputError
from mixstage.plan.schema import SplitSizes
from mixstage.store.store import (Artifact, Draft)


_KEY_BYTES = 16  # of a sha256: enough for any corpus


def text_key(text: str) -> bytes:
    """16 bytes of the text's sha256: what is computed of a text is kept under it."""
    return hashlib.sha256(text.encode()).digest()[:_KEY_BYTES]


def text_hash(text: str) -> int:
    """64 bits of a sha256: an order that means nothing and never changes."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


def sample_ids(ids: set[str], limit: int | None) -> list[str]:
    """The `limit` ids with the smallest sha256, in byte order: the same sample whatever else is in the set."""
    by_hash = sorted(ids, key=lambda value: hashlib.sha256(value.encode()).digest())
    return sorted(by_hash[:limit])
