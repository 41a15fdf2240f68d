"""The table of what can be trained: the class of model, its trainer, and what sets a kind apart."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mixstage.plan.losses import Trained
from mixstage.plugins import Lazy


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedKind:
    """A row of the table: sentence-transformers' classes, imported when a worker needs them."""

    model: Lazy
    trainer: Lazy
    arguments: Lazy
    unused_weights: bool = True
    """Whether weights take no part in the loss, as a pooler does in mean pooling; looking for them where there are none
    marks a classifier twice."""


KINDS: Final[Mapping[Trained, TrainedKind]] = {
    "bi_encoder": TrainedKind(
        model=Lazy("sentence_transformers:SentenceTransformer"),
        trainer=Lazy("sentence_transformers:SentenceTransformerTrainer"),
        arguments=Lazy("sentence_transformers.sentence_transformer.training_args:SentenceTransformerTrainingArguments"),
    ),
    "cross_encoder": TrainedKind(
        model=Lazy("sentence_transformers:CrossEncoder"),
        trainer=Lazy("sentence_transformers:CrossEncoderTrainer"),
        arguments=Lazy("sentence_transformers.cross_encoder.training_args:CrossEncoderTrainingArguments"),
        unused_weights=False,
    ),
    "late_interaction": TrainedKind(
        model=Lazy("sentence_transformers:MultiVectorEncoder"),
        trainer=Lazy("sentence_transformers:MultiVectorEncoderTrainer"),
        arguments=Lazy("sentence_transformers.multi_vector_encoder.training_args:MultiVectorEncoderTrainingArguments"),
    ),
}
# Masked-language-model training of any of them: the model's own loss, and its head's pooler is not used.
MASKED: Final = TrainedKind(
    model=Lazy("transformers:AutoModelForMaskedLM"),
    trainer=Lazy("transformers:Trainer"),
    arguments=Lazy("transformers:TrainingArguments"),
)
