"""Turns what pydantic finds wrong with a request into Lago's field codes."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from schemas.errors import BadRequest, InputError

_CODES = {
    "missing": "value_is_mandatory",
    "string_too_long": "value_is_too_long",
    "too_long": "value_is_too_long",
    "string_too_short": "value_is_too_short",
    "too_short": "value_is_too_short",
    "greater_than": "value_is_out_of_range",
    "greater_than_equal": "value_is_out_of_range",
    "less_than": "value_is_out_of_range",
    "less_than_equal": "value_is_out_of_range",
    "int_parsing_size": "value_is_out_of_range",
    "decimal_max_digits": "value_is_out_of_range",
    "decimal_max_places": "value_is_out_of_range",
    "decimal_whole_digits": "value_is_out_of_range",
}
CODE_ERROR_PREFIX = "code:"
"""A validator of ours raises PydanticCustomError with this prefix before the code to answer."""

Issue = Mapping[str, Any]


class RootedBody(BaseModel):
    """A request body whose one field is the root key that Lago wraps the resource in."""

    @classmethod
    def root(cls) -> str:
        """The root key."""
        return next(iter(cls.model_fields))


def input_error(issues: Sequence[Issue], body_model: type[BaseModel] | None) -> InputError:
    """The error to answer: 400 when the root key is missing, else 422 with all issues by field.

    Source: Lago API conventions, errors.
    """
    root = body_model.root() if body_model is not None and issubclass(body_model, RootedBody) else None
    if root is not None and any(_is_about_root(issue, root) for issue in issues):
        return BadRequest.missing_root(root)
    details: dict[str, object] = {}
    for issue in issues:
        codes = details.setdefault(_field(issue, root), [])
        code = _code(issue)
        if isinstance(codes, list) and code not in codes:
            codes.append(code)
    return InputError(details)


def _is_about_root(issue: Issue, root: str) -> bool:
    location = tuple(issue["loc"])
    return location in (("body",), ("body", root))


def _field(issue: Issue, root: str | None) -> str:
    """`charges.0.charge_model`: where the issue lies, below the place it was sent in and the root key."""
    location = [str(part) for part in issue["loc"]]
    if location[0] == "query" and len(location) > 1:
        return location[1].removesuffix("[]")  # a faulty value of a list is the parameter's fault
    parts = location[1:]
    if root is not None and parts[:1] == [root]:
        parts = parts[1:]
    return ".".join(parts) or location[0]


def _code(issue: Issue) -> str:
    kind = str(issue["type"])
    if kind.startswith(CODE_ERROR_PREFIX):
        return kind.removeprefix(CODE_ERROR_PREFIX)
    if issue.get("input", ...) is None:
        return "value_is_mandatory"
    return _CODES.get(kind, "value_is_invalid")
