"""What the demo creates. The amounts it must come to are checked by the demo itself."""

from typing import Any

Json = dict[str, Any]

METRIC: Json = {
    "name": "Monthly tracked users",
    "code": "mtu",
    "aggregation_type": "unique_count_agg",
    "field_name": "user_id",
}

PLAN: Json = {
    "name": "Team",
    "code": "team",
    "interval": "monthly",
    "amount_cents": 12_000,
    "amount_currency": "USD",
    "pay_in_advance": True,
}

USAGE: list[Json] = [
    {"from_value": 0, "to_value": 10_000, "per_unit_amount": "0", "flat_amount": "0"},
    {"from_value": 10_001, "to_value": 50_000, "per_unit_amount": "0.012", "flat_amount": "0"},
    {"from_value": 50_001, "to_value": 100_000, "per_unit_amount": "0.011", "flat_amount": "0"},
    {"from_value": 100_001, "to_value": None, "per_unit_amount": "0.01", "flat_amount": "0"},
]
"""First 10,000 users free, then three prices."""

TAX: Json = {"name": "Sales tax", "code": "sales_tax", "rate": 12.5}

CUSTOMER: Json = {
    "external_id": "hooli",
    "name": "Hooli",
    "currency": "USD",
    "tax_codes": ["sales_tax"],
}

SUBSCRIPTION: Json = {
    "external_customer_id": "hooli",
    "plan_code": "team",
    "external_id": "hooli-production",
    "name": "Hooli production",
    "billing_time": "anniversary",
}
