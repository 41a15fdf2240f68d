"""What a checkpoint costs to run, apart from what it says: stages of one curriculum differ in weights, not in work."""

import json
from collections.abc import Mapping
from typing import Any

from mixstage.models.checkpoint import SETTINGS
from mixstage.store import Artifact, digest_of

_WEIGHTS = ".safetensors"


def alike(checkpoints: Mapping[str, Artifact | None]) -> dict[str, str]:
    """name -> the first name whose model has the same shape; None (BM25) is like itself only."""
    firsts: dict[str, str] = {}
    shapes = {name: name if made is None else shape_of(made) for name, made in checkpoints.items()}
    return {name: firsts.setdefault(shape, name) for name, shape in shapes.items()}


def shape_of(checkpoint: Artifact) -> str:
    """Digest of how texts are put to the model and of its tensors' names, types and sizes; no weight is read."""
    tensors = {name: _tensors(checkpoint, name) for name in checkpoint.names("", _WEIGHTS)}
    return digest_of({"settings": checkpoint.read_json(SETTINGS), "tensors": tensors})


def _tensors(checkpoint: Artifact, name: str) -> dict[str, Any]:
    """The header of a safetensors file: eight bytes of its length, then JSON."""
    with checkpoint.filesystem.open_input_stream(checkpoint.file(name)) as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    return {tensor: [facts["dtype"], facts["shape"]] for tensor, facts in header.items() if tensor != "__metadata__"}
