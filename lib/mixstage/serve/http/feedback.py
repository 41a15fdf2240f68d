"""POST /v1/feedback: what a user says of a document that a search found."""

import asyncio
from datetime import UTC, datetime

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from mixstage.release.trials.observed import Feedback, Kind, Observations, hash_user
from mixstage.serve.answering.routing import Routes
from mixstage.serve.http.native import PROBLEMS
from mixstage.serve.problems import Refusal

_PRINTED = r"^[^\x00-\x1f\x7f]+$"  # PostgreSQL refuses zero bytes, and a table of judgements is cut at tabs and lines


class FeedbackRequest(BaseModel):
    """One user's opinion of one document of an answer."""

    model_config = ConfigDict(extra="forbid")

    application: str = Field(min_length=1, max_length=200)
    request_id: str = Field(max_length=200, pattern=_PRINTED)  # of the search's answer
    document_id: str = Field(max_length=500, pattern=_PRINTED)
    kind: Kind
    user: str | None = Field(None, min_length=1, max_length=200)  # the key that the search was sent with


def feedback_router(routes: Routes, observations: Observations) -> APIRouter:
    """The route, which answers 202 once the feedback is stored.

    Request and document are not looked up: what the request was shown may still wait in another replica's memory.
    `mixstage feedback` leaves out what does not belong together.
    """
    router = APIRouter()

    @router.post("/v1/feedback", status_code=202, responses=PROBLEMS)
    async def _feedback(body: FeedbackRequest, request: Request) -> dict[str, str]:
        """What a user says of a document that a search found."""
        known = await routes.all()
        if body.application not in known:
            raise Refusal(404, f"no such application; released ones: {', '.join(known) or 'none'}")
        request.state.application = body.application  # for the meter
        feedback = Feedback(
            request_id=body.request_id,
            application=body.application,
            document_id=body.document_id,
            kind=body.kind,
            user=None if body.user is None else hash_user(body.application, body.user),
            created=datetime.now(UTC),
        )
        await asyncio.to_thread(observations.add_feedback, feedback)
        return {}

    return router
