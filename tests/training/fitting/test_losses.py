"""Every loss of a plan against the number that numpy finds for a tiny batch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer

from mixstage.errors import TrainingError
from mixstage.models.checkpoint import open_reranker
from mixstage.plan.stages import LossPlan
from mixstage.training.fitting.learner import open_model
from mixstage.training.fitting.losses import open_loss

QUERIES = ["may the tenant keep the deposit", "notice period of a lease", "latent defects", "rent in arrears"]
POSITIVES = ["the deposit is returned", "three months to the end", "two years after delivery", "interest is due"]
FIRST = ["rent is due monthly", "the deposit bears interest", "defects are repaired", "a lease ends"]
SECOND = ["the tenant paints", "keys are returned", "notice is given in writing", "heating costs"]
COLUMNS = [QUERIES, POSITIVES, FIRST, SECOND]


@pytest.fixture(scope="module")
def retriever(quiet_model: Path) -> SentenceTransformer:
    return SentenceTransformer(str(quiet_model), device="cpu").train()


@pytest.fixture(scope="module")
def reranker(quiet_model: Path) -> CrossEncoder:
    torch.manual_seed(5)
    return CrossEncoder(str(quiet_model), num_labels=1, device="cpu").train()


def columns_of(model: Any, columns: Sequence[list[str]]) -> list[dict[str, Any]]:
    return [model.preprocess(column) for column in columns]


def value(model: Any, plan: LossPlan, columns: Sequence[list[str]], labels: Any = None, **more: Any) -> float:
    settings = {"workers": 1, "negatives": len(columns) - 2, **more}
    loss = open_loss("bi_encoder", plan, model, **settings)(columns_of(model, columns), labels)
    loss.backward()
    return float(loss.detach())


def raw(model: Any, columns: Sequence[list[str]], dim: int = 32) -> list[np.ndarray]:
    return [model.encode(column, convert_to_numpy=True)[:, :dim].astype(np.float64) for column in columns]


def units(model: Any, columns: Sequence[list[str]], dim: int = 32) -> list[np.ndarray]:
    return [vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in raw(model, columns, dim)]


def cross_entropy(scores: np.ndarray) -> float:
    """Mean over rows of -log softmax at the diagonal."""
    return float(np.mean(np.log(np.exp(scores).sum(1)) - scores.diagonal()))


def infonce(model: Any, columns: Sequence[list[str]], temperature: float, dim: int = 32) -> float:
    queries, *documents = units(model, columns, dim)
    return cross_entropy(queries @ np.vstack(documents).T / temperature)


@pytest.mark.parametrize("cached", [None, 3])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_infonce_tells_each_positive_from_all_documents(
    retriever: SentenceTransformer, cached: int | None, count: int
) -> None:
    plan = LossPlan(temperature=0.2, cached=cached)
    assert value(retriever, plan, COLUMNS[:count]) == pytest.approx(infonce(retriever, COLUMNS[:count], 0.2), abs=1e-5)


@pytest.mark.parametrize("cached", [None, 3])
def test_matryoshka_adds_the_loss_of_every_length(retriever: SentenceTransformer, cached: int | None) -> None:
    plan = LossPlan(temperature=0.2, matryoshka=(32, 8, 4), cached=cached)
    expected = sum(infonce(retriever, COLUMNS[:3], 0.2, dim) for dim in (32, 8, 4))
    assert value(retriever, plan, COLUMNS[:3]) == pytest.approx(expected, abs=1e-5)
    with pytest.raises(TrainingError, match="the model has 32 dimensions"):
        value(retriever, LossPlan(matryoshka=(64,)), COLUMNS[:3])


@pytest.mark.parametrize("cached", [None, 3])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_guide_masks_what_it_finds_near_the_positive(
    retriever: SentenceTransformer, tiny_guide: SentenceTransformer, cached: int | None, count: int
) -> None:
    plan = LossPlan(temperature=0.2, guide="retriever:base", guide_margin=0.05, cached=cached)
    queries, *documents = units(retriever, COLUMNS[:count])
    guided_queries, *guided_documents = units(tiny_guide, COLUMNS[:count])
    scores = queries @ np.vstack(documents).T / 0.2
    guided = guided_queries @ np.vstack(guided_documents).T
    positive = guided.diagonal()[:, None]
    masked = guided > positive - np.abs(positive) * 0.05
    masked[np.arange(4), np.arange(4)] = False
    assert 0 < masked.sum() < masked.size - 4, "some are masked, some are not"
    measured = value(retriever, plan, COLUMNS[:count], guide=tiny_guide)
    assert measured == pytest.approx(cross_entropy(np.where(masked, -np.inf, scores)), abs=1e-5)
    assert all(weight.grad is None for weight in tiny_guide.parameters())


@pytest.fixture(scope="module")
def tiny_guide(quiet_model: Path) -> SentenceTransformer:
    """Another model: the same layers, other words."""
    guide = SentenceTransformer(str(quiet_model), device="cpu")
    torch.manual_seed(11)
    torch.nn.init.normal_(guide.transformers_model.get_input_embeddings().weight)
    return guide.eval().requires_grad_(False)


def test_margin_mse_learns_the_teachers_differences(retriever: SentenceTransformer) -> None:
    labels = torch.tensor([[9.0, 1.0, 2.0], [5.0, 4.0, 3.0], [7.0, 0.0, 0.0], [2.0, 6.0, 1.0]])
    queries, positives, *negatives = units(retriever, COLUMNS)
    margins = np.stack([((positives - negative) * queries).sum(1) for negative in negatives], axis=1) / 0.1
    taught = labels.numpy()[:, :1] - labels.numpy()[:, 1:]
    measured = value(retriever, LossPlan(name="margin_mse", teacher="reranker:a", temperature=0.1), COLUMNS, labels)
    assert measured == pytest.approx(float(np.mean((margins - taught) ** 2)), rel=1e-5)


def test_kl_learns_the_teachers_distribution(retriever: SentenceTransformer) -> None:
    labels = torch.tensor([[0.9, 0.1, 0.2], [0.5, 0.4, 0.3], [0.7, 0.0, 0.0], [0.2, 0.6, 0.1]])
    plan = LossPlan(name="kl", teacher="reranker:a", temperature=0.5, teacher_temperature=0.25)
    queries, *documents = units(retriever, COLUMNS)
    student = softmax(np.stack([(queries * part).sum(1) for part in documents], axis=1) / 0.5)
    teacher = softmax(labels.numpy().astype(np.float64) / 0.25)
    divergence = float((teacher * (np.log(teacher) - np.log(student))).sum(1).mean())
    # Hinton et al. (arXiv 1503.02531): times the square of the temperature, so that gradients keep their size.
    assert value(retriever, plan, COLUMNS, labels) == pytest.approx(divergence * 0.5**2, abs=1e-6)


def softmax(scores: np.ndarray) -> np.ndarray:
    grown = np.exp(scores)
    return np.asarray(grown / grown.sum(1, keepdims=True))


def logits(model: Any, queries: Sequence[str], documents: Sequence[str]) -> np.ndarray:
    pairs = list(zip(queries, documents, strict=True))
    return np.asarray(model.predict(pairs, activation_fn=torch.nn.Identity()), dtype=np.float64)


def test_bce_is_the_mean_of_both_labels(reranker: CrossEncoder) -> None:
    labels = np.array([1.0, 0.0, 1.0, 0.0])
    scores = logits(reranker, QUERIES, POSITIVES)
    chance = 1 / (1 + np.exp(-scores))
    expected = -np.mean(labels * np.log(chance) + (1 - labels) * np.log(1 - chance))
    found = open_loss("cross_encoder", LossPlan(), reranker)([QUERIES, POSITIVES], torch.tensor(labels))
    assert found.item() == pytest.approx(float(expected), abs=1e-5)


LISTS = [[POSITIVES[0], FIRST[0], SECOND[0]], [FIRST[1], POSITIVES[1]]]
LABELS = [[1.0, 0.0, 0.0], [0.0, 1.0]]


def test_listwise_is_the_cross_entropy_of_the_positive_among_its_list(reranker: CrossEncoder) -> None:
    parts = []
    sure = [[30 * label for label in labels] for labels in LABELS]  # as rows carry them
    for query, documents, labels in zip(QUERIES[:2], LISTS, LABELS, strict=True):
        scores = logits(reranker, [query] * len(documents), documents)[None]
        parts.append(-np.log(softmax(scores)[0, int(np.argmax(labels))]))
    loss = open_loss("cross_encoder", LossPlan(name="listwise"), reranker)
    found = loss([QUERIES[:2], LISTS], [torch.tensor(labels) for labels in sure])
    assert found.item() == pytest.approx(float(np.mean(parts)), abs=1e-5)


def test_lambda_weighs_each_inversion_by_its_ndcg(reranker: CrossEncoder) -> None:
    # LambdaLoss (Wang et al. 2018), NDCG-Loss2++: 10 x NDCG-Loss2 + LambdaRank, log base 2, mean over the pairs.
    parts = []
    for query, documents, labels in zip(QUERIES[:2], LISTS, LABELS, strict=True):
        scores = logits(reranker, [query] * len(documents), documents)
        order = np.argsort(-scores)
        ranked, gains = scores[order], np.array(labels)[order]  # one relevant document: the ideal DCG is 1
        discount = np.log2(np.arange(2, len(documents) + 3))
        best = int(gains.argmax())
        for other in range(len(documents)):
            if other != best:
                away = abs(best - other)
                second = abs(1 / discount[away - 1] - 1 / discount[away])
                rank = abs(1 / discount[best] - 1 / discount[other])
                parts.append((10 * second + rank) * np.log2(1 + np.exp(-(ranked[best] - ranked[other]))))
    loss = open_loss("cross_encoder", LossPlan(name="lambda"), reranker)
    found = loss([QUERIES[:2], LISTS], [torch.tensor(labels) for labels in LABELS])
    assert found.item() == pytest.approx(float(np.mean(parts)), abs=1e-4)


def test_a_rerankers_margin_mse_learns_the_teachers_differences(reranker: CrossEncoder) -> None:
    labels = torch.tensor([[9.0, 1.0, 2.0], [5.0, 4.0, 3.0], [7.0, 0.0, 0.0], [2.0, 6.0, 1.0]])
    positive, first, second = (logits(reranker, QUERIES, column) for column in (POSITIVES, FIRST, SECOND))
    margins = np.stack([positive - first, positive - second], axis=1)
    taught = labels.numpy()[:, :1] - labels.numpy()[:, 1:]
    loss = open_loss("cross_encoder", LossPlan(name="margin_mse", teacher="reranker:a"), reranker)
    found = loss(COLUMNS, list(labels))
    assert found.item() == pytest.approx(float(np.mean((margins - taught) ** 2)), rel=1e-5)


@pytest.mark.parametrize("cached", [None, 2])
def test_late_interaction_learns_by_the_mean_of_best_cosines(
    make_checkpoint: Any, quiet_model: Path, cached: int | None
) -> None:
    base = {"base": str(quiet_model), "architecture": "late_interaction", "max_length": 32}
    checkpoint = make_checkpoint("reranker", **base)
    reranker = open_reranker(checkpoint)
    documents = [*POSITIVES, *FIRST, *SECOND]
    scores = np.array([reranker.score([query] * 12, documents) for query in QUERIES], dtype=np.float64) / 0.1
    model = open_model("late_interaction", checkpoint, "cpu").train()
    features = [model.preprocess(column, task="document" if n else "query") for n, column in enumerate(COLUMNS)]
    loss = open_loss("late_interaction", LossPlan(temperature=0.1, cached=cached), model)(features, None)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(cross_entropy(scores), rel=1e-4)
