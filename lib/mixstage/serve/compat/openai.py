"""OpenAI's embeddings and list of models; infinity has the same without /v1."""

import base64
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from mixstage.serve.compat.family import Backend, Family, refused, sentence
from mixstage.serve.compat.texts import Inputs, Kind, embed_texts, refuse_empty
from mixstage.serve.problems import Refusal

_KINDS: dict[str, Kind] = {
    "query": "query",
    "search_query": "query",
    "document": "document",
    "passage": "document",
    "search_document": "document",
}


class EmbeddingRequest(BaseModel):
    """What `embeddings.create` sends; `input_type` is ours, by `extra_body`.

    A text of which nobody says what it is counts as a document: it is read as the index reads, and most texts are.
    """

    input: Inputs
    model: str | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None  # the model's own: there is no other
    input_type: Literal["query", "search_query", "document", "passage", "search_document"] = "document"


def router(backend: Backend) -> APIRouter:
    """POST /v1/embeddings, GET /v1/models, and both without /v1."""
    routes = APIRouter(tags=["OpenAI"])

    @routes.post("/v1/embeddings", summary="Embed texts")
    @routes.post("/embeddings", summary="Embed texts: infinity's path")
    async def _embeddings(request: EmbeddingRequest) -> dict[str, Any]:
        refuse_empty(request.input, "input")
        model = await backend.models.find("retriever", request.model)
        assert model.member is not None, "a retriever has one"
        embedded = await embed_texts(backend.components, model.member, request.input, _KINDS[request.input_type])
        refuse_dimensions(request.dimensions, embedded.vectors.shape[1])
        data = [
            {"object": "embedding", "index": index, "embedding": _written(vector, request.encoding_format)}
            for index, vector in enumerate(embedded.vectors)
        ]
        usage = {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens}
        return {"object": "list", "data": data, "model": request.model or model.label, "usage": usage}

    @routes.get("/v1/models", summary="Names of running components")
    @routes.get("/models", summary="Names of running components: infinity's path")
    async def _models() -> dict[str, Any]:
        data = [
            {"id": name, "object": "model", "created": int(model.created.timestamp()), "owned_by": "mixstage"}
            for name, model in (await backend.models.names()).items()
        ]
        return {"object": "list", "data": data}

    return routes


def refuse_dimensions(wanted: int | None, dim: int) -> None:
    """Raises a refusal of any size but the model's: a cut vector is not what the retriever was trained for."""
    if wanted not in (None, dim):
        raise Refusal(400, f"the model's vectors have {dim} dimensions, and can't be cut: leave `dimensions` out")


def _written(vector: np.ndarray, encoding: str) -> list[float] | str:
    """Numbers, or their float32 bytes, lowest first."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode() if encoding == "base64" else vector.tolist()


def shape(refusal: Refusal) -> JSONResponse:
    """{"error": {message, type, param, code}}; OpenAI says 400 where FastAPI says 422."""
    status = 400 if refusal.status == 422 else refusal.status
    kind = "invalid_request_error" if status < 500 else "server_error"
    field = refusal.problems[0].field.partition(".")[0] if refusal.problems else None
    error = {"message": sentence(refusal), "type": kind, "param": field, "code": refusal.code}
    return refused(refusal, status, {"error": error})


FAMILY = Family(router=router, shapes=dict.fromkeys(("embeddings", "models", "v1/embeddings", "v1/models"), shape))
