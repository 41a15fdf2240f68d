"""The losses of the table (`plan/losses.py`) as sentence-transformers' own classes.

All of a retriever's compare cosines, because vectors are served at unit length, divided by the temperature, which gives
them the range of a teacher's logits.
"""

from typing import Any

from mixstage.errors import TrainingError
from mixstage.plan.losses import Lesson, Trained, find_loss, losses_of
from mixstage.plan.stages import LossPlan

_CHUNK = 32  # texts in memory at once where only the cached form of a loss exists


def open_loss(
    trained: Trained, plan: LossPlan, model: Any, *, workers: int = 1, negatives: int = 0, guide: Any = None
) -> Any:
    """The loss module that a plan names, for a model of this kind.

    negatives: the most that a row has; guide: a SentenceTransformer that masks false ones. Raises TrainingError for
    matryoshka dimensions above the model's.
    """
    lesson = Lesson(
        model=model,
        temperature=plan.temperature,
        teacher_temperature=plan.teacher_temperature,
        cached=plan.cached,
        guide=guide,
        guide_margin=plan.guide_margin,
        negatives=negatives,
        workers=workers,
    )
    loss = find_loss(plan.name or losses_of(trained)[0]).build[trained](lesson)
    return _at_dimensions(model, loss, plan.matryoshka) if plan.matryoshka else loss


def _at_dimensions(model: Any, loss: Any, dimensions: tuple[int, ...]) -> Any:
    """The sum of a loss over vectors that are cut to these dimensions."""
    from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss

    dim = model.get_embedding_dimension()
    if any(part > dim for part in dimensions):
        raise TrainingError(f"loss.matryoshka {list(dimensions)}: the model has {dim} dimensions, none can be more")
    return MatryoshkaLoss(model, loss, list(dimensions))


def infonce(lesson: Lesson) -> Any:
    """Cross-entropy of the positive among the batch's other positives and all negatives."""
    from sentence_transformers.sentence_transformer.losses import (
        CachedMultipleNegativesRankingLoss,
        MultipleNegativesRankingLoss,
    )

    if lesson.guide is not None:
        return _guided(lesson)
    scale, gather = 1 / lesson.temperature, lesson.workers > 1
    if lesson.cached:
        return CachedMultipleNegativesRankingLoss(
            lesson.model, scale=scale, mini_batch_size=lesson.cached, gather_across_devices=gather
        )
    return MultipleNegativesRankingLoss(lesson.model, scale=scale, gather_across_devices=gather)


def _guided(lesson: Lesson) -> Any:
    """InfoNCE whose negatives are masked where the guide finds them near the positive (GISTEmbed, arXiv 2402.16829).

    Only the cached form reads more than one negative of a row.
    """
    from sentence_transformers.sentence_transformer.losses import CachedGISTEmbedLoss, GISTEmbedLoss

    settings: dict[str, Any] = {
        "temperature": lesson.temperature,
        "margin_strategy": "relative",
        "margin": lesson.guide_margin,
        "contrast_anchors": False,
        "contrast_positives": False,
        "gather_across_devices": lesson.workers > 1,
    }
    if lesson.cached or lesson.negatives > 1:
        return CachedGISTEmbedLoss(lesson.model, lesson.guide, mini_batch_size=lesson.cached or _CHUNK, **settings)
    return GISTEmbedLoss(lesson.model, lesson.guide, **settings)


def late_infonce(lesson: Lesson) -> Any:
    """InfoNCE of a MultiVectorEncoder: over MeanMaxSim divided by the temperature."""
    from sentence_transformers.multi_vector_encoder.losses import (
        CachedMultiVectorMultipleNegativesRankingLoss,
        MultiVectorMultipleNegativesRankingLoss,
    )
    from sentence_transformers.multi_vector_encoder.scoring import mean_colbert_scores

    settings: dict[str, Any] = {
        "scale": 1 / lesson.temperature,
        "similarity_fct": mean_colbert_scores,
        "gather_across_devices": lesson.workers > 1,
    }
    if lesson.cached:
        return CachedMultiVectorMultipleNegativesRankingLoss(lesson.model, mini_batch_size=lesson.cached, **settings)
    return MultiVectorMultipleNegativesRankingLoss(lesson.model, **settings)


def margin_mse(lesson: Lesson) -> Any:
    """Squared error of a retriever's margins between positive and negative against the teacher's."""
    from sentence_transformers.sentence_transformer.losses import MarginMSELoss
    from sentence_transformers.util import pairwise_cos_sim

    return MarginMSELoss(lesson.model, similarity_fct=lambda a, b: pairwise_cos_sim(a, b) / lesson.temperature)


def kl(lesson: Lesson) -> Any:
    """Divergence of a retriever's distribution over a query's documents from the teacher's."""
    from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss
    from sentence_transformers.util import pairwise_cos_sim

    return DistillKLDivLoss(
        lesson.model,
        similarity_fct=pairwise_cos_sim,
        student_temperature=lesson.temperature,
        teacher_temperature=lesson.teacher_temperature,
    )


def bce(lesson: Lesson) -> Any:
    """Binary cross-entropy of a cross-encoder's logit of each pair."""
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss

    return BinaryCrossEntropyLoss(lesson.model)


def listwise(lesson: Lesson) -> Any:
    """Cross-entropy of a cross-encoder's distribution over a query's documents (ListNet)."""
    from sentence_transformers.cross_encoder.losses import ListNetLoss

    return ListNetLoss(lesson.model)


def lambda_ndcg(lesson: Lesson) -> Any:
    """LambdaRank's gradients, weighted by what a swap does to nDCG."""
    from sentence_transformers.cross_encoder.losses import LambdaLoss

    return LambdaLoss(lesson.model)


def pair_margin_mse(lesson: Lesson) -> Any:
    """Squared error of a cross-encoder's margins between positive and negative against the teacher's."""
    from sentence_transformers.cross_encoder.losses import MarginMSELoss

    return MarginMSELoss(lesson.model)
