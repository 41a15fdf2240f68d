"""The losses of a plan as sentence-transformers' own classes."""

from typing import Any

from mixstage.errors import TrainingError
from mixstage.plan.stages import LossPlan

_CHUNK = 32  # texts in memory at once where only the cached form of a loss exists


def retriever_loss(model: Any, plan: LossPlan, *, workers: int, negatives: int, guide: Any = None) -> Any:
    """The loss module of a SentenceTransformer; `negatives`: the most that a row has, `guide`: masks false ones.

    All compare cosines, because vectors are served at unit length, divided by the temperature, which gives them the
    range of a teacher's logits. Raises TrainingError for matryoshka dimensions above the model's.
    """
    from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss, MarginMSELoss, MatryoshkaLoss
    from sentence_transformers.util import pairwise_cos_sim

    dim = model.get_embedding_dimension()
    if any(part > dim for part in plan.matryoshka):
        raise TrainingError(
            f"loss.matryoshka {list(plan.matryoshka)}: the model has {dim} dimensions, none can be more"
        )
    loss: Any
    if plan.name == "margin_mse":
        loss = MarginMSELoss(model, similarity_fct=lambda a, b: pairwise_cos_sim(a, b) / plan.temperature)
    elif plan.name == "kl":
        loss = DistillKLDivLoss(
            model,
            similarity_fct=pairwise_cos_sim,
            student_temperature=plan.temperature,
            teacher_temperature=plan.teacher_temperature,
        )
    else:
        loss = _infonce(model, plan, workers, negatives, guide)
    return MatryoshkaLoss(model, loss, list(plan.matryoshka)) if plan.matryoshka else loss


def _infonce(model: Any, plan: LossPlan, workers: int, negatives: int, guide: Any) -> Any:
    from sentence_transformers.sentence_transformer.losses import (
        CachedMultipleNegativesRankingLoss,
        MultipleNegativesRankingLoss,
    )

    scale, gather = 1 / plan.temperature, workers > 1
    if guide is not None:
        return _guided(model, plan, negatives, guide, gather)
    if plan.cached:
        return CachedMultipleNegativesRankingLoss(
            model, scale=scale, mini_batch_size=plan.cached, gather_across_devices=gather
        )
    return MultipleNegativesRankingLoss(model, scale=scale, gather_across_devices=gather)


def _guided(model: Any, plan: LossPlan, negatives: int, guide: Any, gather: bool) -> Any:
    """InfoNCE whose negatives are masked where the guide finds them near the positive (GISTEmbed, arXiv 2402.16829).

    Only the cached form reads more than one negative of a row.
    """
    from sentence_transformers.sentence_transformer.losses import CachedGISTEmbedLoss, GISTEmbedLoss

    settings: dict[str, Any] = {
        "temperature": plan.temperature,
        "margin_strategy": "relative",
        "margin": plan.guide_margin,
        "contrast_anchors": False,
        "contrast_positives": False,
        "gather_across_devices": gather,
    }
    if plan.cached or negatives > 1:
        return CachedGISTEmbedLoss(model, guide, mini_batch_size=plan.cached or _CHUNK, **settings)
    return GISTEmbedLoss(model, guide, **settings)


def late_loss(model: Any, plan: LossPlan, *, workers: int) -> Any:
    """The loss module of a MultiVectorEncoder: infonce over MeanMaxSim divided by the temperature."""
    from sentence_transformers.multi_vector_encoder.losses import (
        CachedMultiVectorMultipleNegativesRankingLoss,
        MultiVectorMultipleNegativesRankingLoss,
    )
    from sentence_transformers.multi_vector_encoder.scoring import mean_colbert_scores

    settings: dict[str, Any] = {
        "scale": 1 / plan.temperature,
        "similarity_fct": mean_colbert_scores,
        "gather_across_devices": workers > 1,
    }
    if plan.cached:
        return CachedMultiVectorMultipleNegativesRankingLoss(model, mini_batch_size=plan.cached, **settings)
    return MultiVectorMultipleNegativesRankingLoss(model, **settings)


def reranker_loss(model: Any, plan: LossPlan) -> Any:
    """The loss module of a CrossEncoder with one output."""
    from sentence_transformers.cross_encoder.losses import (
        BinaryCrossEntropyLoss,
        LambdaLoss,
        ListNetLoss,
        MarginMSELoss,
    )

    losses: dict[str, Any] = {
        "bce": BinaryCrossEntropyLoss,
        "listwise": ListNetLoss,
        "lambda": LambdaLoss,
        "margin_mse": MarginMSELoss,
    }
    return losses[plan.name or "bce"](model)
