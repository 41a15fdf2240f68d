"""Soups: a stage that averages the weights of others (arXiv 2203.05482, LM-Cocktail 2311.13534)."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from mixstage.errors import ModelError
from mixstage.models.checkpoint import GOLDEN, SETTINGS, Checkpoint, publish_checkpoint
from mixstage.store.plain import Json
from mixstage.store.store import MANIFEST, Draft


def soup_weights(count: int, first: float | None) -> list[float]:
    """Weights of so many checkpoints that sum to 1: `first`, the others sharing the rest; None: equal ones."""
    return [1 / count] * count if first is None else [first, *[(1 - first) / (count - 1)] * (count - 1)]


def cook(
    draft: Draft[Checkpoint], checkpoints: Sequence[Checkpoint], weights: Sequence[float], notes: Mapping[str, Json]
) -> Checkpoint:
    """Publishes the weighted average of checkpoints, summed in float64; everything else is the first one's.

    Raises ModelError if their settings, or their tensors' names, shapes or kinds of number, differ.
    """
    for other in checkpoints[1:]:
        _refuse_unlike(checkpoints[0], other)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for path in sorted(checkpoints[0].local().rglob("*")):
            name = path.relative_to(checkpoints[0].local())
            if path.is_file() and path.name not in (SETTINGS, GOLDEN, MANIFEST) and path.suffix != ".safetensors":
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, folder / name)
        for file in checkpoints[0].names("", ".safetensors"):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            _average([checkpoint.local() / file for checkpoint in checkpoints], weights, folder / file)
        return publish_checkpoint(draft, folder, checkpoints[0].read_json(SETTINGS), notes)


def _refuse_unlike(one: Checkpoint, other: Checkpoint) -> None:
    kinds = [(part.read_json(SETTINGS), part.names("", ".safetensors")) for part in (one, other)]
    if kinds[0] != kinds[1]:
        raise ModelError(
            f"{other.path} can't be averaged with {one.path}: {kinds[1]} is not {kinds[0]}; soups need one architecture"
        )


def _average(files: Sequence[Path], weights: Sequence[float], target: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    states = [load_file(file) for file in files]
    shapes = [{name: (tensor.shape, tensor.dtype) for name, tensor in state.items()} for state in states]
    for file, other in zip(files[1:], shapes[1:], strict=True):
        if other != shapes[0]:
            different = sorted(set(shapes[0].items()) ^ set(other.items()), key=str)[0][0]
            raise ModelError(
                f"{file} can't be averaged with {files[0]}: {different} differs; soups need one architecture"
            )
    mean = {}
    for name, tensor in states[0].items():
        if not tensor.is_floating_point():
            mean[name] = tensor  # position ids and the like are the same everywhere
            continue
        weighted = [weight * state[name].to(torch.float64) for weight, state in zip(weights, states, strict=True)]
        mean[name] = torch.stack(weighted).sum(0).to(tensor.dtype)
    save_file(mean, str(target), metadata={"format": "pt"})
