"""The kinds of values that resources are made of, each with its bounds and the code it is refused with."""

import re
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic_core import PydanticCustomError

from invoicer.catalog.country_codes import COUNTRIES
from schemas.errors import NotFound
from schemas.money import CURRENCIES
from schemas.time_text import iso_seconds

TEXT_MAX = 255
LONG_TEXT_MAX = 10_000
"""Descriptions and footers: a page of prose, far below what makes an answer slow."""
URL_MAX = 2_048
AMOUNT_CENTS_MAX = 10**15
"""An amount in cents: ten trillion units of a currency, and a thousand of them still fit into 64 bits."""
COUNT_MAX = 2**31 - 1
LIST_MAX = 100
"""Items of one list in a request: tax codes, filters of a charge, charges of a plan."""

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_URL = re.compile(r"https?://[^\s/?#]+[^\s]*")


class ResourceInput(BaseModel):
    """What a caller may say about a resource. Unknown keys are ignored; a number stands for its text."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True, frozen=True)

    def given(self, *fields: str) -> dict[str, Any]:
        """The values of those `fields` that the caller named, null included."""
        return {field: getattr(self, field) for field in fields if field in self.model_fields_set}

    def stated(self, *fields: str) -> dict[str, Any]:
        """The values of those `fields` that the caller named and that are not null: for what cannot be unset."""
        return {field: value for field, value in self.given(*fields).items() if value is not None}


def parse_id(text: str, resource: str) -> uuid.UUID:
    """The id of a resource as it stands in an address.

    Raises: NotFound for a text that is no id: it names nothing.
    """
    try:
        return uuid.UUID(text)
    except ValueError:
        raise NotFound(resource) from None


def refused(code: str) -> PydanticCustomError:
    """The error a validator raises to have `code` answered for its field."""
    return PydanticCustomError(f"code:{code}", "{code}", {"code": code})


def unsupported_when(is_asked_for: Callable[[Any], bool]) -> AfterValidator:
    """Refuses what Millrace does not bill, rather than storing and ignoring it."""

    def check(value: Any) -> Any:
        if is_asked_for(value):
            raise refused("not_supported")
        return value

    return AfterValidator(check)


def _not_blank(value: str) -> str:
    if not value.strip():
        raise refused("value_is_mandatory")
    return value


def _one_of(allowed: Callable[[], frozenset[str] | set[str]], code: str) -> AfterValidator:
    def check(value: str) -> str:
        if value not in allowed():
            raise refused(code)
        return value

    return AfterValidator(check)


def _matching(pattern: re.Pattern[str], code: str) -> AfterValidator:
    def check(value: str) -> str:
        if value and not pattern.fullmatch(value):
            raise refused(code)
        return value

    return AfterValidator(check)


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _no_boolean(value: Any) -> Any:
    """Python counts True as 1; nobody who writes `true` means an amount."""
    if isinstance(value, bool):
        raise refused("value_is_invalid")
    return value


def _blank_is_null(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


Text = Annotated[str, Field(max_length=TEXT_MAX)]
RequiredText = Annotated[str, Field(max_length=TEXT_MAX), AfterValidator(_not_blank)]
LongText = Annotated[str, Field(max_length=LONG_TEXT_MAX)]
NoBoolean = BeforeValidator(_no_boolean)
AmountCents = Annotated[int, NoBoolean, Field(ge=0, le=AMOUNT_CENTS_MAX)]
Count = Annotated[int, NoBoolean, Field(ge=0, le=COUNT_MAX)]
Country = Annotated[
    str, BeforeValidator(_upper), _one_of(lambda: COUNTRIES, "not_a_valid_country_code"), Field(max_length=8)
]
Currency = Annotated[str, _one_of(lambda: CURRENCIES, "value_is_invalid")]
TimeZone = Annotated[str, _one_of(available_timezones, "invalid_timezone")]
Locale = Annotated[str, _one_of(lambda: LOCALES, "not_a_valid_language_code")]
Email = Annotated[str, Field(max_length=TEXT_MAX), _matching(_EMAIL, "invalid_email_format")]
AnyAddress = Annotated[str, Field(max_length=URL_MAX)]
"""A web address as people write it, with or without a scheme; it is only ever shown."""
Url = Annotated[str, Field(max_length=URL_MAX), _matching(_URL, "url_is_invalid")]
BlankIsNull = BeforeValidator(_blank_is_null)
"""In front of an optional kind: "" unsets it."""
TaxCodes = Annotated[list[Text], Field(max_length=LIST_MAX)]

UnsupportedFlag = Annotated[bool, unsupported_when(bool)]
UnsupportedObject = Annotated[dict[str, Any], unsupported_when(bool)]
UnsupportedList = Annotated[list[Any], unsupported_when(bool)]
UnsupportedValue = Annotated[Any, unsupported_when(bool)]

LOCALES = frozenset("de en es fr it nb nl pt-BR sv zh-TW".split())
"""Languages of invoices."""

Instant = Annotated[datetime, PlainSerializer(iso_seconds, return_type=str | None)]
"""An instant in an answer: `2026-08-21T10:00:00Z`."""
