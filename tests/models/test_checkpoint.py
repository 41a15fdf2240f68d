"""Checkpoints: what a fingerprint depends on, and that a drifted, unsafe or mistaken model is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixstage.errors import ModelError
from mixstage.models.checkpoint import (
    GOLDEN,
    SETTINGS,
    TOLERANCE,
    Checkpoint,
    fingerprint,
    open_encoder,
    open_reranker,
    publish_checkpoint,
    replay,
)
from mixstage.store.store import Store

KINDS = ["hashing retriever", "hashing reranker", "tiny retriever", "tiny reranker"]


@pytest.fixture
def checkpoint(request: pytest.FixtureRequest, make_checkpoint: Any) -> Checkpoint:
    """The checkpoint that a test's parameter names."""
    kind, component = request.param.split()
    base = "hashing://32" if kind == "hashing" else str(request.getfixturevalue("tiny_model"))
    return make_checkpoint(component, base=base)


def reopen(checkpoint: Checkpoint) -> Any:
    component = checkpoint.meta["component"]
    return open_encoder(checkpoint) if component == "retriever" else open_reranker(checkpoint)


each_kind = pytest.mark.parametrize("checkpoint", KINDS, indirect=True)
each_tiny = pytest.mark.parametrize("checkpoint", KINDS[2:], indirect=True)


@each_kind
def test_an_untouched_checkpoint_opens_and_answers_its_golden_records(checkpoint: Checkpoint) -> None:
    known = np.array(checkpoint.read_json(GOLDEN), dtype=np.float32)
    np.testing.assert_allclose(replay(reopen(checkpoint)), known, atol=1e-5)
    assert np.ptp(known) > 1e-3  # records that are all alike could not show a drift
    checkpoint.verify()


@each_kind
def test_the_fingerprint_in_the_artifact_is_that_of_its_folder(checkpoint: Checkpoint) -> None:
    assert checkpoint.meta["fingerprint"] == fingerprint(checkpoint.local())


@each_tiny
def test_a_fingerprint_changes_with_any_byte_that_decides_the_output(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(checkpoint.local(), folder)
    names = [str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()]
    assert {"model.safetensors", "config.json", "tokenizer.json", SETTINGS} <= set(names)
    before = fingerprint(folder)
    for name in sorted(set(names) - {GOLDEN, "manifest.json"}):
        path = folder / name
        content = path.read_bytes()
        for at in (0, len(content) // 2, len(content) - 1):
            path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
            assert fingerprint(folder) != before, (name, at)
        path.write_bytes(content)
    assert fingerprint(folder) == before


@pytest.mark.parametrize("checkpoint", KINDS[:1], indirect=True)
def test_a_fingerprint_does_not_change_with_prose_notes_and_golden_records(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(checkpoint.local(), folder)
    before = fingerprint(folder)
    for name in ("README.md", ".cache", GOLDEN, "manifest.json"):
        (folder / name).write_text("anything")
    assert fingerprint(folder) == before
    (folder / "extra.json").write_text("{}")
    assert fingerprint(folder) != before


@pytest.mark.parametrize("checkpoint", KINDS[:1], indirect=True)
def test_a_fingerprint_changes_when_a_file_moves_or_goes(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(checkpoint.local(), folder)
    (folder / "a.json").write_text("{}")
    first = fingerprint(folder)
    (folder / "a.json").rename(folder / "b.json")
    second = fingerprint(folder)
    (folder / "b.json").unlink()
    assert len({first, second, fingerprint(folder)}) == 3


@each_kind
@pytest.mark.parametrize(("move", "refused"), [(0.5 * TOLERANCE, False), (2 * TOLERANCE, True)])
def test_one_golden_value_off_by_more_than_the_tolerance_is_a_drift(
    checkpoint: Checkpoint, move: float, refused: bool
) -> None:
    path = checkpoint.local() / GOLDEN
    golden = np.array(json.loads(path.read_text()))
    golden.reshape(-1)[-1] += move
    path.write_text(json.dumps(golden.tolist()))
    if not refused:
        reopen(checkpoint)
        return
    with pytest.raises(ModelError, match=r"drifted by 0\.00\d+ from its golden records \(accepted: 0\.001\).*again"):
        reopen(checkpoint)


def rewrite(checkpoint: Checkpoint, change: Any) -> None:
    """Changes the tensors of a model file in place: {name: tensor} -> None."""
    from safetensors.torch import load_file, save_file

    path = checkpoint.local() / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


@each_tiny
def test_a_perturbed_weight_is_a_drift(checkpoint: Checkpoint) -> None:
    rewrite(checkpoint, lambda tensors: next(t for n, t in tensors.items() if "layer.1" in n and t.dim() > 1).mul_(1.5))
    with pytest.raises(ModelError, match="drifted"):
        reopen(checkpoint)


@each_tiny
def test_a_weight_that_is_nan_is_a_drift(checkpoint: Checkpoint) -> None:
    rewrite(checkpoint, lambda tensors: next(t for t in tensors.values() if t.dim() > 1).fill_(float("nan")))
    with pytest.raises(ModelError, match="drifted"):
        reopen(checkpoint)


@pytest.mark.parametrize("checkpoint", ["tiny retriever"], indirect=True)
def test_another_pooling_or_another_prompt_is_a_drift(checkpoint: Checkpoint) -> None:
    pooling = checkpoint.local() / "1_Pooling/config.json"
    mean = pooling.read_text()
    pooling.write_text(mean.replace('"mean"', '"cls"'))
    assert pooling.read_text() != mean
    with pytest.raises(ModelError, match="drifted"):
        reopen(checkpoint)
    pooling.write_text(mean)
    settings = json.loads((checkpoint.local() / SETTINGS).read_text())
    settings["prompts"]["query"] = "search the statutes for this: "
    (checkpoint.local() / SETTINGS).write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="drifted"):
        reopen(checkpoint)


@pytest.mark.parametrize("checkpoint", ["hashing retriever"], indirect=True)
def test_another_number_of_dimensions_is_a_drift(checkpoint: Checkpoint) -> None:
    path = checkpoint.local() / SETTINGS
    path.write_text(path.read_text().replace('"dim": 32', '"dim": 33'))
    with pytest.raises(ModelError, match="drifted by inf"):
        reopen(checkpoint)


@pytest.mark.parametrize("checkpoint", ["hashing retriever"], indirect=True)
def test_a_model_of_an_unknown_kind_is_refused(checkpoint: Checkpoint) -> None:
    path = checkpoint.local() / SETTINGS
    path.write_text(path.read_text().replace('"hashing"', '"oracle"'))
    with pytest.raises(ModelError, match="no model of kind 'oracle'"):
        reopen(checkpoint)


def test_a_component_is_not_taken_for_the_other(make_checkpoint: Any) -> None:
    with pytest.raises(ModelError, match="is a reranker, not a retriever"):
        open_encoder(make_checkpoint("reranker"))
    with pytest.raises(ModelError, match="is a retriever, not a reranker"):
        open_reranker(make_checkpoint("retriever"))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "sub/head.pkl", "a.pt", "modeling.py", "A.BIN"])
def test_formats_that_can_run_code_are_refused_and_nothing_is_published(
    store: Store, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "model"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_bytes(b"\x80\x04N.")
    draft = store.draft(Checkpoint, {"n": 1})
    with pytest.raises(ModelError, match="export the model as safetensors") as caught:
        publish_checkpoint(draft, folder, {"component": "retriever", "kind": "hashing", "dim": 8}, {})
    assert Path(name).name in str(caught.value)
    assert list(store.all(Checkpoint)) == []


def test_two_stages_with_equal_weights_have_two_addresses_and_one_fingerprint(store: Store, tmp_path: Path) -> None:
    settings = {"component": "retriever", "kind": "hashing", "dim": 8}
    published = []
    for stage in ("one", "two"):
        (tmp_path / stage).mkdir()
        draft = store.draft(Checkpoint, {"stage": stage})
        published.append(publish_checkpoint(draft, tmp_path / stage, settings, {"stage": stage}))
    one, two = published
    assert one.digest != two.digest
    assert one.meta["fingerprint"] == two.meta["fingerprint"]
    assert (one.meta["stage"], two.meta["stage"]) == ("one", "two")


def test_a_checkpoint_in_a_store_of_objects_opens_from_the_cache(
    make_checkpoint: Any, memory_store: Store, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    remote = make_checkpoint("retriever", into=memory_store, base=str(tiny_model))
    local = make_checkpoint("retriever", base=str(tiny_model))
    texts = ["the landlord keeps the deposit"]
    np.testing.assert_array_equal(
        open_encoder(remote).encode(texts, "query"), open_encoder(local).encode(texts, "query")
    )
    assert remote.meta["fingerprint"] == local.meta["fingerprint"]


@each_kind
def test_a_checkpoint_whose_files_are_others_than_published_is_refused_even_if_it_answers_alike(
    checkpoint: Checkpoint,
) -> None:
    (checkpoint.local() / "added.json").write_text("{}")
    with pytest.raises(ModelError, match="its files are not those that were published"):
        reopen(checkpoint)
