"""What a caller may say about a billable metric."""

from typing import Annotated, Any, Literal

from pydantic import Field

from invoicer.catalog.fields import LIST_MAX, LongText, NoBoolean, RequiredText, ResourceInput, Text
from schemas.expression import SOURCE_LENGTH_MAX

FILTER_VALUES_MAX = 1_000
"""Declared values of one filter key."""
ROUNDING_PRECISION_MAX = 18
"""Decimals a quantity has at most; as many digits before the point."""

AggregationName = Literal[
    "count_agg", "sum_agg", "max_agg", "unique_count_agg", "weighted_sum_agg", "latest_agg", "custom_agg"
]
RoundingFunction = Literal["round", "ceil", "floor"]
Precision = Annotated[int, NoBoolean, Field(ge=-ROUNDING_PRECISION_MAX, le=ROUNDING_PRECISION_MAX)]
ExpressionText = Annotated[str, Field(max_length=SOURCE_LENGTH_MAX)]


class MetricFilterInput(ResourceInput):
    """A property by which charges may tell events apart, and the values it may have."""

    key: RequiredText
    values: Annotated[list[RequiredText], Field(max_length=FILTER_VALUES_MAX)]


class MetricInput(ResourceInput):
    """A new billable metric."""

    name: RequiredText
    code: RequiredText
    description: LongText | None = None
    aggregation_type: AggregationName
    field_name: Text | None = None
    expression: ExpressionText | None = None
    recurring: bool | None = None
    weighted_interval: Literal["seconds"] | None = None
    rounding_function: RoundingFunction | None = None
    rounding_precision: Precision | None = None
    filters: Annotated[list[MetricFilterInput], Field(max_length=LIST_MAX)] | None = None


class MetricChanges(ResourceInput):
    """Changes of a billable metric: what is absent stays."""

    name: RequiredText | None = None
    code: RequiredText | None = None
    description: LongText | None = None
    aggregation_type: AggregationName | None = None
    field_name: Text | None = None
    expression: ExpressionText | None = None
    recurring: bool | None = None
    weighted_interval: Literal["seconds"] | None = None
    rounding_function: RoundingFunction | None = None
    rounding_precision: Precision | None = None
    filters: Annotated[list[MetricFilterInput], Field(max_length=LIST_MAX)] | None = None


class ExpressionInput(ResourceInput):
    """An expression and the event to try it on; checked by hand, since Lago names only these two."""

    expression: Any = None
    event: Any = None
