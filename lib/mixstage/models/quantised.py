"""A retriever's encoder in int8 for CPUs: weights by output channel, activations by token, run by ONNX Runtime.

ONNX Runtime's own dynamic quantisation has one scale for all tokens of a batch: twice the error, and a text's vector
would depend on its neighbours. Here each token's row has its own scale. Pooling and what follows stay float32.
"""

import json
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mixstage.errors import ModelError
from mixstage.models.batching import padded, token_batches
from mixstage.models.checkpoint import (
    GOLDEN,
    Checkpoint,
    check_golden,
    fingerprint,
    open_encoder,
    open_unchecked,
    replay,
)
from mixstage.models.encoder import Encoder, Precision, Role, SentenceEncoder, Tokens

AnyPrecision = Precision | Literal["int8"]
_GRAPHS = Path("~/.cache/mixstage/int8")
FORMAT = 1  # raise when the same weights give another graph
TOLERANCE = 0.03  # largest accepted cosine distance to a golden vector; the demo model's are 0.004, of one letter 0.017
_OPSET = 17
_STEPS = 63  # weights are whole numbers up to it: two products with 255 add up to less than AVX2's 16 bits hold
_INPUTS = ["input_ids", "attention_mask"]
# y = x W, with each row of x as bytes around 128; ONNX Runtime computes equal rows of several products once.
_LINEAR = """
<domain: "mixstage", opset_import: ["" : 17]>
linear (x, weights, steps) => (y)
{
    sizes = Abs (x)
    largest = ReduceMax <axes = [-1], keepdims = 1> (sizes)
    tiny = Constant <value = float {1e-12}> ()
    safe = Max (largest, tiny)
    top = Constant <value = float {127}> ()
    step = Div (safe, top)
    scaled = Div (x, step)
    middle = Constant <value = float {128}> ()
    shifted = Add (scaled, middle)
    whole = Round (shifted)
    codes = Cast <to = 2> (whole)
    zero = Cast <to = 2> (middle)
    sums = MatMulInteger (codes, weights, zero)
    products = Cast <to = 1> (sums)
    by_row = Mul (products, step)
    y = Mul (by_row, steps)
}
"""


class QuantisedEncoder:
    """A SentenceEncoder whose transformer is an int8 graph; it reads texts and pools as that one does.

    Vectors depend on what else is in a batch by less than 1e-2: where a last bit tips a rounding.
    """

    def __init__(self, encoder: SentenceEncoder, graph: Path) -> None:
        import torch

        runtime = _extra("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()  # a worker's share of the machine
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other workers need the cores
        self.session = runtime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        self.encoder = encoder

    @property
    def dim(self) -> int:
        return self.encoder.dim

    def vocabulary(self, role: Role) -> str:
        return self.encoder.vocabulary(role)

    def tokenise(self, texts: Sequence[str], role: Role) -> Tokens:
        return self.encoder.tokenise(texts, role)

    def embed(self, tokens: Tokens) -> np.ndarray:
        """(N, dim) float32, rows of unit length, in input order."""
        vectors = np.empty((len(tokens.ids), self.dim), dtype=np.float32)
        for batch in token_batches(tokens.lengths, self.encoder.budget):
            vectors[batch] = self._forward([tokens.ids[i] for i in batch])
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(norms, np.finfo(np.float32).tiny))

    def encode(self, texts: Sequence[str], role: Role) -> np.ndarray:
        return self.embed(self.tokenise(texts, role))

    def _forward(self, ids: list[list[int]]) -> np.ndarray:
        import torch

        _, *pooling = self.encoder.model
        features = padded(self.encoder.model.tokenizer, ids)
        (words,) = self.session.run(None, {name: features[name].numpy() for name in _INPUTS})
        features["token_embeddings"] = torch.from_numpy(words)
        with torch.inference_mode():
            for module in pooling:
                features = module(features)
        return np.asarray(features["sentence_embedding"].numpy())


def open_precise(checkpoint: Checkpoint, precision: AnyPrecision, budget: int | None = None) -> Encoder:
    """The retriever of a checkpoint in any precision of a plan; int8 graphs are kept for this machine."""
    if precision == "int8":
        open_encoder(checkpoint)  # refuses files that are not those that were published
        return open_quantised(checkpoint.local(), _GRAPHS.expanduser(), budget)
    return open_encoder(checkpoint, budget, precision)


def open_quantised(folder: Path, cache: Path, budget: int | None = None) -> QuantisedEncoder:
    """The retriever of a checkpoint's folder in int8; its graph is exported once and kept in `cache`.

    budget: tokens a forward pass; unset: what the device likes. Raises ModelError if onnx and onnxruntime are not
    installed, if the folder holds no transformer, if it drifted from its golden records, or if int8 moves one of them
    by a cosine distance of more than TOLERANCE.
    """
    _extra("onnxruntime")
    encoder = open_unchecked(folder, budget)
    if not isinstance(encoder, SentenceEncoder):
        raise ModelError(f"{folder} holds no transformer that embeds texts: only such a one is quantised; use float32")
    encoder.model.to("cpu")
    check_golden(folder, encoder)
    graph = cache / f"{fingerprint(folder)}-int8-{FORMAT}.onnx"
    if not graph.is_file():
        export(encoder, graph)
    quantised = QuantisedEncoder(encoder, graph)
    far = golden_distance(folder, quantised)
    if not far <= TOLERANCE:
        raise ModelError(
            f"{folder} in int8 is {far:.2g} (cosine distance) from its golden records (accepted: {TOLERANCE:g}): "
            f"delete {graph} and try again; if that changes nothing, the model needs float32"
        )
    return quantised


def golden_distance(folder: Path, encoder: QuantisedEncoder) -> float:
    """The largest cosine distance of a golden text's vector to the recorded one."""
    known = np.array(json.loads((folder / GOLDEN).read_text()), dtype=np.float32)
    return float((1 - (known * replay(encoder)).sum(axis=1)).max())


def export(encoder: SentenceEncoder, graph: Path) -> None:
    """Writes the transformer's int8 graph: token ids and mask (B, T) int64 -> token vectors (B, T, width) float32.

    The encoder stays what it was, but slower.
    """
    onnx = _extra("onnx")
    graph.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=graph.parent) as scratch:  # workers may export at once: the last one stays
        path = Path(scratch) / graph.name
        _trace(encoder, path)
        model = onnx.load(path)
        quantise(model)
        onnx.save(model, path)
        path.replace(graph)


def _trace(encoder: SentenceEncoder, path: Path) -> None:
    import torch

    class Words(torch.nn.Module):
        """Tensors in and out: what the exporter reads."""

        def __init__(self) -> None:
            super().__init__()
            self.module = encoder.model[0]

        def forward(self, *inputs: torch.Tensor) -> Any:
            return self.module(dict(zip(_INPUTS, inputs, strict=True)))["token_embeddings"]

    # torch's fused attention would be exported with guards against rows without a token: 5% of the time
    words: Any = encoder.model[0]
    words.auto_model.set_attn_implementation("eager")
    ids = encoder.tokenise(["", "with padding, so that the mask is used"], "document").ids
    example = encoder.model.tokenizer.pad({"input_ids": ids}, return_tensors="pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on what is traced as a constant: the golden records tell whether it was
        torch.onnx.export(
            Words().eval(),
            tuple(example[name] for name in _INPUTS),
            str(path),
            input_names=_INPUTS,
            output_names=["token_embeddings"],
            dynamic_axes={name: {0: "texts", 1: "tokens"} for name in [*_INPUTS, "token_embeddings"]},
            opset_version=_OPSET,
            dynamo=False,  # the other exporter needs onnxscript
        )


def quantise(model: Any) -> None:
    """Replaces every product with a weight matrix of an ONNX model by `_LINEAR`, in place."""
    onnx = _extra("onnx")
    weights = {tensor.name: tensor for tensor in model.graph.initializer if len(tensor.dims) == 2}
    products = [node for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in weights]
    for name in dict.fromkeys(node.input[1] for node in products):  # layers may share weights
        codes, steps = whole_numbers(onnx.numpy_helper.to_array(weights[name]))
        weights[name].CopyFrom(onnx.numpy_helper.from_array(codes, name))
        model.graph.initializer.append(onnx.numpy_helper.from_array(steps, f"{name}_steps"))
    for node in products:
        node.input.append(f"{node.input[1]}_steps")
        node.op_type, node.domain = "linear", "mixstage"
    model.functions.append(onnx.parser.parse_function(_LINEAR))
    model.opset_import.append(onnx.helper.make_opsetid("mixstage", 1))


def whole_numbers(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(M, N) float32 -> (M, N) int8 of -63..63 and (N,) float32 steps; their product is nearest to the weights."""
    steps = np.maximum(np.abs(weights).max(axis=0), np.finfo(np.float32).tiny) / np.float32(_STEPS)
    return np.round(weights / steps).astype(np.int8), steps


def _extra(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise ModelError(f"int8 needs the package {name}: pip install 'mixstage[int8]', or use float32") from None
