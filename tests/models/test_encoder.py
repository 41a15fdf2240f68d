"""Encoders: batches by token budget give what single texts give, and what sentence-transformers gives."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixstage.errors import PlanError
from mixstage.models.batching import CPU_BUDGET, pack, padded, token_batches
from mixstage.models.encoder import SentenceEncoder

PROMPTS = {"query": "question about the law: ", "document": ""}


@pytest.fixture(scope="module")
def encoder(tiny_model: Path) -> SentenceEncoder:
    return SentenceEncoder(tiny_model, PROMPTS)


@pytest.fixture(scope="module")
def texts(sample_documents: list[dict[str, str]]) -> list[str]:
    """Texts from 2 to 128 tokens (cut there), shuffled by length, with empty and equal ones between."""
    bodies = [row["text"][: 20 + 37 * n % 700] for n, row in enumerate(sample_documents[:70])]
    return [*bodies, "", bodies[3], "x", " "]


def test_the_texts_of_these_tests_fill_several_batches(encoder: SentenceEncoder, texts: list[str]) -> None:
    lengths = encoder.tokenise(texts, "document").lengths
    assert len(list(token_batches(lengths, CPU_BUDGET))) >= 3
    assert max(lengths) == 128 and min(lengths) == 2  # [CLS] [SEP]


def test_vectors_do_not_depend_on_what_else_is_encoded(encoder: SentenceEncoder, texts: list[str]) -> None:
    together = encoder.encode(texts, "document")
    alone = np.vstack([encoder.encode([text], "document") for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    backwards = encoder.encode(texts[::-1], "document")[::-1]
    np.testing.assert_allclose(together, backwards, atol=1e-5)


@pytest.mark.parametrize("role", ["query", "document"])
def test_vectors_are_those_of_sentence_transformers(
    encoder: SentenceEncoder, texts: list[str], tiny_model: Path, role: Any
) -> None:
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(tiny_model), device="cpu")
    expected = theirs.encode(texts, prompt=PROMPTS[role] or None, normalize_embeddings=True)
    np.testing.assert_allclose(encoder.encode(texts, role), expected, atol=1e-5)


def test_the_prompt_belongs_to_its_role(encoder: SentenceEncoder, texts: list[str]) -> None:
    as_query = encoder.encode(texts[:3], "query")
    prompted = encoder.encode([PROMPTS["query"] + text for text in texts[:3]], "document")
    np.testing.assert_allclose(as_query, prompted, atol=1e-6)
    assert np.abs(as_query - encoder.encode(texts[:3], "document")).max() > 1e-2


def test_rows_are_single_precision_and_of_unit_length(encoder: SentenceEncoder, texts: list[str]) -> None:
    vectors = encoder.encode(texts, "document")
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_what_stands_beyond_the_maximal_length_changes_nothing(encoder: SentenceEncoder) -> None:
    text = "the landlord returns the deposit " * 60  # far beyond 128 tokens
    one, other = encoder.encode([text, text + "but the tenant leaves"], "document")
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_no_texts_give_no_rows(encoder: SentenceEncoder) -> None:
    assert encoder.encode([], "query").shape == (0, 32)


def test_a_half_precision_model_returns_single_precision_close_to_the_full_one(
    tiny_model: Path, encoder: SentenceEncoder, texts: list[str]
) -> None:
    half = SentenceEncoder(tiny_model, PROMPTS)
    half.model.bfloat16()
    vectors = half.encode(texts, "document")
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    cosines = (vectors * encoder.encode(texts, "document")).sum(axis=1)
    assert cosines.min() > 0.99


def test_tokens_are_those_of_the_prompted_text_and_say_what_was_cut(encoder: SentenceEncoder) -> None:
    long = "the landlord returns the deposit " * 60
    tokens = encoder.tokenise(["deposit", long, ""], "query")
    whole = encoder.model.tokenizer([PROMPTS["query"] + text for text in ("deposit", long, "")])["input_ids"]
    assert tokens.ids == [whole[0], [*whole[1][:127], whole[1][-1]], whole[2]]
    assert tokens.truncated.tolist() == [False, True, False]
    assert (tokens.lengths.tolist(), tokens.lengths.dtype) == ([len(ids) for ids in tokens.ids], np.int32)
    nothing = encoder.tokenise([], "query")
    assert (nothing.ids, nothing.lengths.tolist(), nothing.truncated.tolist()) == ([], [], [])


def test_encoders_that_read_alike_have_one_vocabulary(tiny_model: Path, encoder: SentenceEncoder) -> None:
    alike = SentenceEncoder(tiny_model, PROMPTS)
    alike.encode(["a", "b c"], "query")  # padding and truncation are the last call's, no property of the vocabulary
    assert alike.vocabulary("query") == encoder.vocabulary("query") != encoder.vocabulary("document")
    bare = SentenceEncoder(tiny_model)
    assert bare.vocabulary("query") == bare.vocabulary("document") == encoder.vocabulary("document")
    shorter = SentenceEncoder(tiny_model)
    shorter.limit = 64
    assert shorter.vocabulary("query") != bare.vocabulary("query")


@pytest.mark.parametrize("budget", [128, 1000, 10_000])
def test_the_budget_moves_last_bits_only(
    tiny_model: Path, encoder: SentenceEncoder, texts: list[str], budget: int
) -> None:
    other = SentenceEncoder(tiny_model, PROMPTS, budget)
    np.testing.assert_allclose(other.encode(texts, "document"), encoder.encode(texts, "document"), atol=1e-5)


def test_a_budget_that_a_long_text_does_not_fit_is_refused(tiny_model: Path) -> None:
    with pytest.raises(PlanError, match=r"index\.batch_tokens 127 is below max_length 128"):
        SentenceEncoder(tiny_model, PROMPTS, 127)


def test_a_half_precision_forward_gives_single_precision_rows_close_to_the_full_ones(
    tiny_model: Path, encoder: SentenceEncoder, texts: list[str]
) -> None:
    half = SentenceEncoder(tiny_model, PROMPTS)
    half.lower("bfloat16")
    assert not half.is_packing  # on a CPU there is no attention without padding
    vectors, full = half.encode(texts, "document"), encoder.encode(texts, "document")
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert (vectors * full).sum(axis=1).min() > 0.99
    assert np.abs(vectors - full).max() > 1e-4  # it did go through the half


@pytest.mark.parametrize("side", ["right", "left"])
def test_padding_is_the_tokenizers(encoder: SentenceEncoder, texts: list[str], side: str) -> None:
    tokenizer = encoder.model.tokenizer
    ids = encoder.tokenise(texts, "query").ids
    before = tokenizer.padding_side
    tokenizer.padding_side = side
    try:
        expected, features = tokenizer.pad({"input_ids": ids}, return_tensors="pt"), padded(tokenizer, ids)
    finally:
        tokenizer.padding_side = before
    assert features.keys() == {"input_ids", "attention_mask"}
    for name, values in features.items():
        assert values.dtype == expected[name].dtype and (values == expected[name]).all()


def test_packed_texts_get_the_vectors_of_padded_ones(
    tiny_model: Path, encoder: SentenceEncoder, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's attention without padding runs on GPUs only: here each text is attended to by itself."""
    import torch
    from torch.nn.attention import varlen

    def each_alone(query: Any, key: Any, value: Any, spans: Any, _: Any, longest: int, __: int) -> Any:
        assert longest == (spans[1:] - spans[:-1]).max()
        lines = zip(*(part.tensor_split(spans[1:-1].long()) for part in (query, key, value)), strict=True)
        vectors = [
            torch.nn.functional.scaled_dot_product_attention(*(part.transpose(0, 1) for part in line)) for line in lines
        ]
        return torch.cat([part.transpose(0, 1) for part in vectors])

    monkeypatch.setattr(varlen, "varlen_attn", each_alone)
    other = SentenceEncoder(tiny_model, PROMPTS)
    other.is_packing = pack(other.model)
    assert other.is_packing
    np.testing.assert_allclose(other.encode(texts, "document"), encoder.encode(texts, "document"), atol=1e-5)


def test_a_model_of_an_unknown_kind_stays_padded(tiny_model: Path, texts: list[str]) -> None:
    other = SentenceEncoder(tiny_model, PROMPTS)
    before = other.encode(texts, "document")
    other.model[0].auto_model.config.model_type = "mpnet"
    assert not pack(other.model)
    np.testing.assert_array_equal(other.encode(texts, "document"), before)
