"""Errors, named by what the reader of one does next.

MillraceError
├── InputError            the caller's fault: answered 4xx with every issue at once
│   ├── Unauthorized      401
│   ├── BadRequest        400: not JSON, or the root key is missing
│   ├── NotFound          404
│   ├── NotAllowed        405: a business rule refuses it
│   ├── Forbidden         403
│   └── PayloadTooLarge   413
├── TransientError        retry with capped backoff, then stop: answered 503 with Retry-After
├── PoisonEvent           to the dead letters, with its reason and its original bytes
└── InvariantViolation    we are wrong: stop the worker or park the subscription
"""

from collections.abc import Mapping, Sequence

ErrorDetails = Mapping[str, object]
"""Field name → list of codes; for a batch, index as text → (field name → list of codes)."""


class MillraceError(Exception):
    """Root of every error that Millrace raises on purpose."""


class InputError(MillraceError):
    """Input that cannot be accepted; `body` is what the caller is answered (Lago's error envelope)."""

    status = 422
    error = "Unprocessable Entity"

    def __init__(self, details: ErrorDetails | None = None, *, code: str = "validation_errors") -> None:
        super().__init__(code, details)
        self.code = code
        self.details = dict(details or {})

    def body(self) -> dict[str, object]:
        """The JSON body of the answer."""
        body: dict[str, object] = {"status": self.status, "error": self.error, "code": self.code}
        if self.details:
            body["error_details"] = self.details
        return body


class Unauthorized(InputError):
    """No API key, or one that no organization owns."""

    status = 401
    error = "Unauthorized"

    def body(self) -> dict[str, object]:
        return {"status": self.status, "error": self.error}


class BadRequest(InputError):
    """The body is not JSON, or lacks the root key."""

    status = 400

    def __init__(self, message: str) -> None:
        super().__init__(code="bad_request")
        self.message = message

    @classmethod
    def missing_root(cls, root: str) -> "BadRequest":
        return cls(f"param is missing or the value is empty or invalid: {root}")

    def body(self) -> dict[str, object]:
        return {"status": self.status, "error": f"BadRequest: {self.message}"}


class NotFound(InputError):
    """The resource does not exist: `NotFound("plan")` answers the code `plan_not_found`."""

    status = 404
    error = "Not Found"

    def __init__(self, resource: str) -> None:
        super().__init__(code=f"{resource}_not_found")


class NotAllowed(InputError):
    """A business rule refuses the operation."""

    status = 405
    error = "Method Not Allowed"

    def __init__(self, code: str) -> None:
        super().__init__(code=code)


class Forbidden(InputError):
    """The operation is not open to this caller or resource."""

    status = 403
    error = "Forbidden"

    def __init__(self, code: str) -> None:
        super().__init__(code=code)


class PayloadTooLarge(InputError):
    """The body is over its byte limit."""

    status = 413
    error = "Payload Too Large"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__({"body": [f"larger_than_{limit_bytes}_bytes"]}, code="payload_too_large")


class TransientError(MillraceError):
    """A service is away for now; nothing was acknowledged, so the same call may be made again."""

    def __init__(self, service: str, reason: str, *, retry_after_seconds: int = 1) -> None:
        super().__init__(f"{service}: {reason}")
        self.service = service
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds

    def body(self) -> dict[str, object]:
        """The JSON body of the 503 answer."""
        return {"status": 503, "error": "Service Unavailable", "code": f"{self.service}_unavailable"}


class PoisonEvent(MillraceError):
    """A line of the stream that can never be counted; `code` is stable, `reason` is for people."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


class InvariantViolation(MillraceError):
    """Something that must be true is not: stop rather than bill wrongly."""


def merge_details(parts: Sequence[ErrorDetails]) -> dict[str, object]:
    """Join the issues of several checks so that the caller sees all of them at once."""
    merged: dict[str, list[object]] = {}
    for part in parts:
        for field, codes in part.items():
            merged.setdefault(field, []).extend(codes if isinstance(codes, list) else [codes])
    return dict(merged)
