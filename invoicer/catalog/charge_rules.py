"""Which charges make sense: what is checked before one is stored. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from invoicer.catalog.charge_input import ChargeFilterInput
from invoicer.catalog.metric_filters import declared_values
from invoicer.db import BillableMetric
from invoicer.rating.charge_models.charge_model import PRORATED_MODELS, ChargeModel
from invoicer.rating.charge_models.properties import InvalidProperties, normalize_properties, parse_properties
from invoicer.rating.filters import ALL_FILTER_VALUES
from schemas.errors import ErrorDetails
from schemas.metrics import AggregationType

GROUP_KEYS_MAX = 20
"""Pricing group keys of one charge: each multiplies the fees of an invoice."""
GROUP_KEY_CHARACTERS_MAX = 255


def compatibility_issues(model: ChargeModel, metric: BillableMetric, *, prorated: bool) -> ErrorDetails:
    """Whether the charge model can price what the metric measures.

    Source: Lago charge models (percentage not of a latest value, dynamic only of a sum); proration.
    """
    issues: dict[str, object] = {}
    aggregation = AggregationType(metric.aggregation_type)
    is_mismatch = (model is ChargeModel.PERCENTAGE and aggregation is AggregationType.LATEST) or (
        model is ChargeModel.DYNAMIC and aggregation is not AggregationType.SUM
    )
    if is_mismatch:
        issues["charge_model"] = ["not_compatible_with_aggregation_type"]
    can_prorate = metric.recurring and aggregation is not AggregationType.WEIGHTED_SUM and model in PRORATED_MODELS
    if prorated and not can_prorate:
        issues["prorated"] = ["invalid_billable_metric_or_charge_model"]
    return issues


def properties_issues(model: ChargeModel, raw: Mapping[str, Any] | None) -> ErrorDetails:
    """What is wrong with the prices; none given means the model's defaults.

    Source: Lago charge models, properties and tiers.
    """
    if not raw:
        return {}
    codes: list[str] = []
    try:
        parse_properties(model, raw)
    except InvalidProperties as error:
        codes.extend(error.codes)
    if not _are_group_keys_bounded(raw):
        codes.append("value_is_too_long")
    return {"properties": codes} if codes else {}


def filters_issues(
    model: ChargeModel, metric: BillableMetric, filters: Sequence[ChargeFilterInput]
) -> list[ErrorDetails]:
    """What is wrong with the filters of a charge.

    Source: Lago filters: values must be given, on keys and with values the metric declares.
    """
    declared = declared_values(metric)
    issues: list[ErrorDetails] = []
    for each in filters:
        issues.append(properties_issues(model, each.properties))
        if code := _values_fault(each.values or {}, declared):
            issues.append({"values": [code]})
    return issues


def stored_properties(model: ChargeModel, raw: Mapping[str, Any] | None) -> dict[str, Any]:
    """The properties to store: what the model knows of the given ones, or its defaults."""
    return dict(normalize_properties(model, raw))


def canonical_values(values: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """A filter's values in the order in which two filters are compared: by it a filter is recognised."""
    return {key: sorted(set(values[key])) for key in sorted(values)}


def _values_fault(values: Mapping[str, Sequence[str]], declared: Mapping[str, set[str]]) -> str | None:
    if not values or not all(values.values()):
        return "value_is_mandatory"
    for key, wanted in values.items():
        if key not in declared or not set(wanted) <= declared[key] | {ALL_FILTER_VALUES}:
            return "value_is_invalid"
    return None


def _are_group_keys_bounded(raw: Mapping[str, Any]) -> bool:
    for name in ("pricing_group_keys", "grouped_by"):
        keys = raw.get(name)
        if not isinstance(keys, list):
            continue
        if len(keys) > GROUP_KEYS_MAX or any(len(str(key)) > GROUP_KEY_CHARACTERS_MAX for key in keys):
            return False
    return True
