"""Texts of a request: how many, how long, and the calls of components that read them."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, StringConstraints

from mixstage.release.record import Member
from mixstage.serve.answering.calls import batches
from mixstage.serve.answering.components import Components, Embedded
from mixstage.serve.answering.search import MAX_QUERY
from mixstage.serve.problems import Refusal

MAX_TEXTS = 2048  # inputs of an embedding request: OpenAI's limit
MAX_DOCUMENTS = 1000  # of a reranking request: Cohere's advice
MAX_TEXT = 122_880  # characters of a text: infinity's limit
_HINT = "token ids of another model's vocabulary mean nothing here: send text (check_embedding_ctx_length=False)"

Kind = Literal["query", "document"]


def _as_list(value: Any) -> Any:
    """One text or many, as a list. LangChain's OpenAIEmbeddings sends token ids, unless it is made with
    `check_embedding_ctx_length=False`."""
    if isinstance(value, list) and any(isinstance(entry, int | list) for entry in value):
        raise ValueError(_HINT)
    return [value] if isinstance(value, str) else value


def _as_text(value: Any) -> Any:
    return value["text"] if isinstance(value, dict) and "text" in value else value


Query = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUERY)]
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT)]
Inputs = Annotated[
    list[Text], Field(max_length=MAX_TEXTS), BeforeValidator(_as_list, json_schema_input_type=str | list[str])
]
Documents = Annotated[
    list[Annotated[Text, BeforeValidator(_as_text, json_schema_input_type=str | dict[str, str])]],
    Field(max_length=MAX_DOCUMENTS),
]


def refuse_empty(texts: Sequence[str], field: str) -> None:
    """Raises a refusal of no text, or of one without a character."""
    if not texts or not all(texts):
        raise Refusal(400, f"{field}: send one text or more, none of them empty", code="empty")


async def embed_texts(components: Components, member: Member, texts: list[str], kind: Kind) -> Embedded:
    """Vectors of N texts, sent in batches: between two of them others get their turn, and a caller can leave."""
    embedded = [await components.embed(member, batch, kind) for batch in batches(texts)]
    vectors = np.concatenate([part.vectors for part in embedded])
    if not np.isfinite(vectors).all():
        raise Refusal(500, "the retriever's vector of one of the texts is not finite")
    return Embedded(vectors=vectors, tokens=sum(part.tokens for part in embedded))


def words(texts: Sequence[str]) -> int:
    """Words between spaces."""
    return sum(len(text.split()) for text in texts)
