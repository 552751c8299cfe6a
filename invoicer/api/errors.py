"""Answers every error in Lago's envelope."""

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.exc import IntegrityError
from starlette.exceptions import HTTPException

from invoicer.api.validation import input_error
from invoicer.db import Base
from schemas.errors import BadRequest, InputError, NotFound, TransientError

_SQLITE_UNIQUE = "UNIQUE constraint failed: "
_POSTGRESQL_UNIQUE_VIOLATION = "23505"


def install_error_handlers(app: FastAPI) -> None:
    """Make `app` answer Lago's error bodies.

    Source: Lago API conventions, errors.
    """
    app.add_exception_handler(InputError, _answer_input_error)
    app.add_exception_handler(TransientError, _answer_transient_error)
    app.add_exception_handler(RequestValidationError, _answer_validation_error)
    app.add_exception_handler(IntegrityError, _answer_integrity_error)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    app.add_exception_handler(Exception, _answer_unexpected)


def _input_response(error: InputError) -> JSONResponse:
    return JSONResponse(error.body(), status_code=error.status)


async def _answer_input_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, InputError)
    return _input_response(error)


async def _answer_transient_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TransientError)
    structlog.get_logger().warning("service_away", service=error.service, reason=error.reason)
    headers = {"Retry-After": str(error.retry_after_seconds)}
    return JSONResponse(error.body(), status_code=503, headers=headers)


async def _answer_validation_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return _input_response(input_error(error.errors(), None))


async def _answer_integrity_error(request: Request, error: Exception) -> JSONResponse:
    """Two requests wrote the same code at once; the check before the write saw neither."""
    assert isinstance(error, IntegrityError)
    field = duplicated_field(error)
    if field is None:
        return await _answer_unexpected(request, error)
    return _input_response(InputError({field: ["value_already_exist"]}))


async def _answer_http_exception(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code in (404, 405):
        return _input_response(NotFound("resource"))
    if error.status_code == 400:
        return _input_response(BadRequest(error.detail))
    return JSONResponse({"status": error.status_code, "error": error.detail}, status_code=error.status_code)


async def _answer_unexpected(request: Request, error: Exception) -> JSONResponse:
    structlog.get_logger().error("request_failed", method=request.method, path=request.url.path, exc_info=error)
    return JSONResponse({"status": 500, "error": "Internal Server Error"}, status_code=500)


def duplicated_field(error: IntegrityError) -> str | None:
    """The column a unique index refused a value of, or None when that is not what went wrong."""
    message = str(error.orig)
    if message.startswith(_SQLITE_UNIQUE):
        return message.removeprefix(_SQLITE_UNIQUE).rsplit(".", 1)[-1]
    if getattr(error.orig, "sqlstate", None) != _POSTGRESQL_UNIQUE_VIOLATION:
        return None
    diagnosis = getattr(error.orig, "diag", None)
    return _last_column(getattr(diagnosis, "table_name", ""), getattr(diagnosis, "constraint_name", ""))


def _last_column(table_name: str, constraint_name: str) -> str | None:
    table = Base.metadata.tables.get(table_name)
    if table is None:
        return None
    constraints = [each for each in table.constraints if isinstance(each, UniqueConstraint)]
    named: list[Index | UniqueConstraint] = [*table.indexes, *constraints]
    for each in named:
        if each.name == constraint_name:
            return [column.name for column in each.columns][-1]
    return None
