"""The int8 encoder: arithmetic worked out by hand, close to float32, made once, refused when it is not close."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixstage.errors import ModelError
from mixstage.models.checkpoint import GOLDEN, SETTINGS, Checkpoint, open_encoder
from mixstage.models.encoder import Encoder
from mixstage.models.quantised import (
    TOLERANCE,
    QuantisedEncoder,
    golden_distance,
    open_quantised,
    quantise,
    whole_numbers,
)

PROMPTS = {"query_prompt": "question about the law: "}


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where graphs are kept: tests share those of equal checkpoints."""
    return tmp_path_factory.mktemp("graphs")


@pytest.fixture
def extra() -> None:
    pytest.importorskip("onnx", reason="the extra int8 is not installed")
    pytest.importorskip("onnxruntime", reason="the extra int8 is not installed")


@pytest.fixture
def checkpoint(make_checkpoint: Any, tiny_model: Path) -> Checkpoint:
    return make_checkpoint("retriever", base=str(tiny_model), max_length=128, **PROMPTS)


@pytest.fixture
def int8(extra: None, checkpoint: Checkpoint, graphs: Path) -> QuantisedEncoder:
    return open_quantised(checkpoint.local(), graphs)


@pytest.fixture
def float32(checkpoint: Checkpoint) -> Encoder:
    return open_encoder(checkpoint)


@pytest.fixture(scope="module")
def texts(sample_documents: list[dict[str, str]]) -> list[str]:
    """From 2 to 128 tokens: several batches."""
    return [*(row["text"][: 20 + 37 * n % 700] for n, row in enumerate(sample_documents[:70])), "", "x"]


def cosine_distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return 1 - (one * other).sum(axis=1)


def test_weights_become_whole_numbers_with_a_step_for_every_output() -> None:
    weights = np.array([[1, -2, 0], [0.4, 0.1, 0]], dtype=np.float32)
    codes, steps = whole_numbers(weights)
    assert codes.dtype == np.int8 and steps.dtype == np.float32
    np.testing.assert_array_equal(codes, [[63, -63, 0], [25, 3, 0]])  # 0.4 x 63 = 25.2, 0.1 x 31.5 = 3.15
    np.testing.assert_allclose(steps[:2], [1 / 63, 2 / 63], rtol=1e-6)


def quantised_product(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """What a graph of one product answers after `quantise`."""
    import onnx
    import onnxruntime

    m, n = weights.shape
    shapes = f"(float[b, {m}] x, float[{m}, {n}] w) => (float[b, {n}] y)"
    graph = onnx.parser.parse_graph(f"g {shapes} {{ y = MatMul (x, w) }}")
    del graph.input[1]
    graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    quantise(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": rows})[0])


def test_a_product_is_computed_with_a_step_for_every_row(extra: None) -> None:
    weights = np.array([[63, 0, -126], [63, 21, 2]], dtype=np.float32)  # steps 1, 1/3, 2
    rows = np.array([[127, 10.4], [-0.254, 0.0011], [0, 0]], dtype=np.float32)  # steps 1, 0.002, any
    read = np.array([[127, 10], [-0.254, 0.002], [0, 0]])  # 0.0011 is 0.55 steps, so one
    np.testing.assert_allclose(quantised_product(rows, weights), read @ weights, rtol=1e-5)


def test_the_greatest_numbers_do_not_overflow(extra: None) -> None:
    """Two products are added in 16 bits on CPUs without VNNI: 255 x 127 x 2 would be cut to 32767."""
    weights = np.ones((64, 4), dtype=np.float32)
    rows = np.ones((32, 64), dtype=np.float32)
    np.testing.assert_allclose(quantised_product(rows, weights), np.full((32, 4), 64), rtol=1e-6)


@pytest.mark.parametrize("role", ["query", "document"])
def test_vectors_lie_close_to_those_of_float32_but_are_others(
    int8: QuantisedEncoder, float32: Encoder, texts: list[str], role: Any
) -> None:
    found, expected = int8.encode(texts, role), float32.encode(texts, role)
    distances = cosine_distances(found, expected)
    assert distances.max() < 0.01
    assert distances.min() > 1e-7  # it is no float32 under another name


def test_it_reads_and_measures_texts_like_the_float32_encoder(
    int8: QuantisedEncoder, float32: Encoder, texts: list[str]
) -> None:
    assert int8.dim == float32.dim == 32
    for role in ("query", "document"):
        assert int8.vocabulary(role) == float32.vocabulary(role)
        mine, theirs = int8.tokenise(texts, role), float32.tokenise(texts, role)
        assert mine.ids == theirs.ids
        np.testing.assert_array_equal(mine.truncated, theirs.truncated)


def test_rows_are_single_precision_of_unit_length_and_no_texts_give_none(
    int8: QuantisedEncoder, texts: list[str]
) -> None:
    vectors = int8.encode(texts, "document")
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert int8.encode([], "query").shape == (0, 32)


def test_vectors_hardly_depend_on_what_else_is_encoded(int8: QuantisedEncoder, texts: list[str]) -> None:
    together = int8.encode(texts, "document")
    alone = np.vstack([int8.encode([text], "document") for text in texts])
    assert cosine_distances(together, alone).max() < 1e-4
    np.testing.assert_allclose(together, alone, atol=1e-2)


def test_the_graph_is_made_once_and_nothing_else_is_left(int8: QuantisedEncoder, checkpoint: Checkpoint) -> None:
    cache = Path(checkpoint.local()).parent / "cache"
    first = open_quantised(checkpoint.local(), cache).encode(["the landlord"], "query")
    (graph,) = cache.iterdir()
    assert graph.name.startswith(checkpoint.meta["fingerprint"])
    made = graph.stat().st_mtime_ns
    again = open_quantised(checkpoint.local(), cache).encode(["the landlord"], "query")
    assert graph.stat().st_mtime_ns == made
    np.testing.assert_array_equal(first, again)


def test_weights_take_a_quarter_of_the_space(int8: QuantisedEncoder, checkpoint: Checkpoint, graphs: Path) -> None:
    import onnx

    model = onnx.load(graphs / f"{checkpoint.meta['fingerprint']}-int8-1.onnx")
    short = [tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.INT8]
    assert len(short) == 2 * 6  # layers; query, key, value, output and the two of the feed-forward part
    assert sum(len(tensor.raw_data) for tensor in short) == 2 * (4 * 32 * 32 + 2 * 32 * 64)


def test_another_checkpoint_has_another_graph(
    extra: None, make_checkpoint: Any, tiny_model: Path, tmp_path: Path
) -> None:
    for length in (64, 128):
        open_quantised(make_checkpoint("retriever", base=str(tiny_model), max_length=length).local(), tmp_path / "g")
    assert len(list((tmp_path / "g").iterdir())) == 2


def spoil(graph: Path, share: float) -> None:
    """Turns the signs of some of a graph's weights."""
    import onnx

    model = onnx.load(graph)
    draw = np.random.default_rng(1)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.INT8:
            codes = onnx.numpy_helper.to_array(tensor)
            codes = np.where(draw.random(codes.shape) < share, -codes, codes)
            tensor.CopyFrom(onnx.numpy_helper.from_array(codes, tensor.name))
    onnx.save(model, graph)


def test_a_graph_that_is_far_from_the_golden_records_is_refused(
    int8: QuantisedEncoder, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    assert 0 < golden_distance(checkpoint.local(), int8) < TOLERANCE / 3
    cache = tmp_path / "spoilt"
    open_quantised(checkpoint.local(), cache)
    (graph,) = cache.iterdir()
    spoil(graph, 0.3)
    with pytest.raises(ModelError, match=r"in int8 is 0\.\d+ \(cosine distance\).*accepted: 0\.03.*delete .*onnx"):
        open_quantised(checkpoint.local(), cache)
    graph.unlink()
    open_quantised(checkpoint.local(), cache)  # what the message says helps


def test_a_checkpoint_that_drifted_itself_is_refused_before_anything_is_made(
    extra: None, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(checkpoint.local(), folder)
    golden = np.array(json.loads((folder / GOLDEN).read_text()))
    (folder / GOLDEN).write_text(json.dumps((golden + 0.01).tolist()))
    with pytest.raises(ModelError, match=r"drifted by 0\.01"):
        open_quantised(folder, tmp_path / "graphs")
    assert not (tmp_path / "graphs").exists()


def test_only_a_retriever_with_weights_is_quantised(extra: None, make_checkpoint: Any, tmp_path: Path) -> None:
    for component in ("retriever", "reranker"):
        folder = make_checkpoint(component, base="hashing://64").local()
        assert "hashing" in (folder / SETTINGS).read_text()
        with pytest.raises(ModelError, match="holds no transformer that embeds texts"):
            open_quantised(folder, tmp_path)


def test_the_budget_is_that_of_the_float32_encoder(extra: None, checkpoint: Checkpoint, graphs: Path) -> None:
    encoder = open_quantised(checkpoint.local(), graphs, budget=128)
    assert encoder.encoder.budget == 128
    assert encoder.encode(["a", "b " * 200], "document").shape == (2, 32)


def test_without_the_extra_the_message_says_what_to_install(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # as if it were not there
    with pytest.raises(ModelError, match=r"needs the package onnxruntime: pip install 'mixstage\[int8\]'"):
        open_quantised(checkpoint.local(), tmp_path)
