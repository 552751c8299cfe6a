"""Currencies and decimals as the API writes them. Amounts at rest are integer minor units ("cents")."""

from decimal import Decimal

_WITHOUT_MINOR_UNIT = frozenset("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF".split())
_THOUSANDTHS = frozenset("BHD IQD JOD KWD LYD OMR TND".split())
_HUNDREDTHS = frozenset(
    """AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BWP BYN BZD CAD CDF CHF
    CNY COP CRC CVE CZK DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HRK HTG HUF IDR
    ILS INR IRR JMD KES KGS KHR KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRO MUR MVR MWK MXN
    MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SEK SGD SHP SLL SOS
    SRD STD SZL THB TJS TOP TRY TTD TWD TZS UAH USD UYU UZS WST XCD YER ZAR ZMW""".split()
)
CURRENCIES = _HUNDREDTHS | _WITHOUT_MINOR_UNIT | _THOUSANDTHS
"""ISO 4217 codes that plans, customers and invoices may use."""


def currency_exponent(currency: str) -> int:
    """Digits behind the point of one unit of `currency`: 2 for USD, 0 for JPY, 3 for KWD.

    Raises: KeyError for a code that is not in `CURRENCIES`.
    """
    if currency in _WITHOUT_MINOR_UNIT:
        return 0
    if currency in _THOUSANDTHS:
        return 3
    if currency in _HUNDREDTHS:
        return 2
    raise KeyError(currency)


def decimal_text(value: Decimal) -> str:
    """Plain notation with at least one decimal (`10.0`, `0.5`), never an exponent.

    Source: Lago API, decimals as text.
    """
    if value == 0:
        return "0.0"  # also for -0
    whole, _, fraction = format(value, "f").partition(".")
    return f"{whole}.{fraction.rstrip('0') or '0'}"
