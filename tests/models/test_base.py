"""Base models: where they are found, what of them is kept, and what the seed decides."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixstage.errors import ModelError
from mixstage.models.base import export_base, locate
from mixstage.models.checkpoint import Checkpoint, open_encoder, open_reranker
from mixstage.plan.load import parse_plan
from mixstage.plan.schema import Plan
from mixstage.store.store import Store

PAIR = (["deposit of the tenant"], ["the landlord returns the deposit"])


def plan_of(seed: int = 0, **components: Any) -> Plan:
    return parse_plan(
        {
            "name": "t",
            "seed": seed,
            "corpora": {"c": {"source": "sample://statutes"}},
            "applications": {"a": {"corpus": "c", "source": "sample://counsel"}},
            **components,
        }
    )


@pytest.mark.parametrize(
    ("base", "problem"),
    [
        (
            "package://mixstage_no_such_model",
            r"no Python package 'mixstage_no_such_model': install the one that holds the model",
        ),
        ("package://json", r"the package 'json' has no get_model_path\(\)"),
        ("/nowhere/model", r"no model at /nowhere/model: give a folder with config.json"),
    ],
)
def test_a_base_that_is_no_model_is_refused_with_what_to_give(base: str, problem: str) -> None:
    with pytest.raises(ModelError, match=problem):
        locate(base)


@pytest.mark.parametrize("base", ["hashing://", "hashing://0", "hashing://many"])
def test_a_hashing_base_without_dimensions_is_refused(store: Store, base: str) -> None:
    with pytest.raises(ModelError, match="give the number of dimensions, such as hashing://256"):
        export_base(plan_of(retriever={"base": base}), store, "retriever")


def test_a_base_is_exported_once(store: Store, tiny_model: Path) -> None:
    plan = plan_of(retriever={"base": str(tiny_model)})
    first = export_base(plan, store, "retriever")
    stat = (first.local() / "manifest.json").stat()
    assert export_base(plan, store, "retriever") == first
    assert (first.local() / "manifest.json").stat().st_mtime_ns == stat.st_mtime_ns


def test_a_retriever_keeps_the_weights_of_its_base_and_takes_the_plans_length_and_prompts(
    store: Store, tiny_model: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    part = {"base": str(tiny_model), "max_length": 12, "query_prompt": "find: ", "document_prompt": "read: "}
    encoder = open_encoder(export_base(plan_of(retriever=part), store, "retriever"))
    theirs = SentenceTransformer(str(tiny_model), device="cpu")
    theirs.max_seq_length = 12
    text = "the landlord returns the deposit within thirty days after the tenant leaves the premises"
    for role, prompt in (("query", "find: "), ("document", "read: ")):
        expected = theirs.encode([prompt + text], normalize_embeddings=True)
        np.testing.assert_allclose(encoder.encode([text], role), expected, atol=1e-6)  # type: ignore[arg-type]


def weights(checkpoint: Checkpoint) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return dict(load_file(checkpoint.local() / "model.safetensors"))


def test_a_reranker_of_one_layer_keeps_the_bases_first_layer(store: Store, tiny_model: Path) -> None:
    from safetensors.numpy import load_file

    base = load_file(tiny_model / "model.safetensors")
    cut = weights(export_base(plan_of(reranker={"base": str(tiny_model), "layers": 1}), store, "reranker"))
    assert not [name for name in cut if "layer.1." in name]
    layer = [name for name in base if "layer.0." in name]
    assert len(layer) == 16  # query, key, value, two dense and output with bias, two norms with bias
    for name in layer:
        np.testing.assert_array_equal(cut[f"bert.{name}"], base[name])


def test_the_head_of_a_reranker_comes_from_the_plans_seed(store: Store, tiny_model: Path) -> None:
    def export(into: Store, seed: int) -> Checkpoint:
        return export_base(plan_of(seed, reranker={"base": str(tiny_model)}), into, "reranker")

    first, again, other = export(store, 1), export(Store(f"{store.uri}-2"), 1), export(store, 2)
    assert first.meta["fingerprint"] == again.meta["fingerprint"]
    assert first.meta["fingerprint"] != other.meta["fingerprint"]
    np.testing.assert_array_equal(open_reranker(first).score(*PAIR), open_reranker(again).score(*PAIR))
    assert abs(float(open_reranker(first).score(*PAIR)[0] - open_reranker(other).score(*PAIR)[0])) > 1e-4


@pytest.mark.parametrize("config", ['{"model_type": "nosuch"}', "{}", "no json"])
@pytest.mark.parametrize("component", ["retriever", "reranker"])
def test_a_folder_without_a_text_encoder_is_refused_and_leaves_nothing(
    component: str, config: str, store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "config.json").write_text(config)
    with pytest.raises(ModelError, match="is not a text encoder that sentence-transformers opens"):
        export_base(plan_of(**{component: {"base": str(folder)}}), store, component)
    assert not list(Path(store.root).rglob("*.partial"))
