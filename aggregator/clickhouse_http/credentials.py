"""Who asks: the three ways in which a ClickHouse client names its user."""

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from aggregator.clickhouse_http.errors import ErrorCode, raised_here


@dataclass(frozen=True)
class Credentials:
    """The one account of the interface."""

    user: str
    password: str = field(repr=False)


def check_credentials(account: Credentials, *, headers: Mapping[str, str], parameters: Mapping[str, str]) -> None:
    """Let a request pass that names the account, in constant time whatever is wrong.

    Raises:  ClickHouseHttpError, code 194 (401) when no password was sent, 516 (403) when it is wrong.
    Source:  ClickHouse HTTP interface: X-ClickHouse-User and -Key headers, basic authentication, URL parameters.
    """
    given = read_credentials(headers, parameters)
    user_matches = hmac.compare_digest(given.user.encode(), account.user.encode())
    password_matches = hmac.compare_digest(given.password.encode(), account.password.encode())
    if user_matches and password_matches:
        return
    code = ErrorCode.AUTHENTICATION_FAILED if given.password else ErrorCode.REQUIRED_PASSWORD
    raise raised_here(
        code,
        "Authentication failed: password is incorrect, or there is no user with such name.",
    )


def read_credentials(headers: Mapping[str, str], parameters: Mapping[str, str]) -> Credentials:
    """Take the headers of ClickHouse first, then basic authentication, then the URL; `default` without any."""
    if "x-clickhouse-user" in headers or "x-clickhouse-key" in headers:
        return Credentials(headers.get("x-clickhouse-user", "default"), headers.get("x-clickhouse-key", ""))
    scheme, _, encoded = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        return _read_basic(encoded)
    return Credentials(parameters.get("user", "default"), parameters.get("password", ""))


def _read_basic(encoded: str) -> Credentials:
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return Credentials("", "")
    return Credentials(user, password)
