"""The body of every error, for the OpenAPI document."""

from typing import Any

from pydantic import BaseModel, Field


class ErrorAnswer(BaseModel):
    """What went wrong. Source: Lago API conventions, errors."""

    status: int = Field(description="The HTTP status.")
    error: str
    code: str | None = Field(None, description="E.g. plan_not_found; absent from 400 and 401.")
    error_details: dict[str, Any] | None = Field(
        None, description="Field → list of codes; of a batch, index → field → list of codes."
    )


DOCUMENTED_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorAnswer, "description": "The body is not JSON, or lacks its root key"},
    401: {"model": ErrorAnswer, "description": "No API key, or an unknown one"},
    404: {"model": ErrorAnswer, "description": "There is no such resource"},
    405: {"model": ErrorAnswer, "description": "A business rule refuses it"},
    422: {"model": ErrorAnswer, "description": "Faulty fields, all of them at once"},
    503: {"model": ErrorAnswer, "description": "A service is away: send it again after Retry-After seconds"},
}
"""The answers that any route may give besides its own."""
