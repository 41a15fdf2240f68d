"""POST /v1/feedback: what a user says of a document that a search found."""

import asyncio
import logging
from datetime import UTC, datetime

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import SQLAlchemyError

from mixstage.release.observed import Feedback, Kind, Observations, hashed
from serve.routing import Routes

logger = logging.getLogger("ray.serve")

_PRINTED = r"^[^\x00-\x1f\x7f]+$"  # PostgreSQL refuses zero bytes, and a table of judgements is cut at tabs and lines


class FeedbackRequest(BaseModel):
    """What a feedback takes."""

    model_config = ConfigDict(extra="forbid")

    application: str = Field(min_length=1, max_length=200)
    request_id: str = Field(max_length=200, pattern=_PRINTED)  # of the search's answer
    document_id: str = Field(max_length=500, pattern=_PRINTED)
    kind: Kind
    user: str | None = Field(None, min_length=1, max_length=200)  # the key that the search was sent with


def feedback_router(routes: Routes, observations: Observations) -> APIRouter:
    """The route, which answers 202 once the feedback is stored.

    Request and document are not looked up: what the request was shown may still wait in another replica's memory.
    `jobs.feedback` leaves out what does not belong together.
    """
    router = APIRouter()

    @router.post("/v1/feedback", status_code=202)
    async def _feedback(request: FeedbackRequest) -> dict[str, str]:
        if request.application not in await routes.all():
            raise HTTPException(404, "no such application")
        feedback = Feedback(
            request_id=request.request_id,
            application=request.application,
            document_id=request.document_id,
            kind=request.kind,
            user=None if request.user is None else hashed(request.application, request.user),
            created=datetime.now(UTC),
        )
        try:
            await asyncio.to_thread(observations.add_feedback, feedback)
        except SQLAlchemyError:
            logger.exception("feedback can't be stored")
            raise HTTPException(503, "feedback can't be stored now: send it again", {"Retry-After": "1"}) from None
        return {}

    return router
