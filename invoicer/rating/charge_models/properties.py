"""The properties of each charge model: as values, as parsed from the API, and as normalized for storage."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, assert_never

from invoicer.rating.charge_models.charge_model import ChargeModel
from invoicer.rating.charge_models.property_reader import InvalidProperties, PropertyReader
from invoicer.rating.charge_models.tiers import PercentageTier, Tier

__all__ = [
    "ChargeProperties",
    "DynamicProperties",
    "GraduatedPercentageProperties",
    "GraduatedProperties",
    "InvalidProperties",
    "PackageProperties",
    "PercentageProperties",
    "StandardProperties",
    "VolumeProperties",
    "normalize_properties",
    "parse_properties",
]


@dataclass(frozen=True)
class StandardProperties:
    """One price for every unit."""

    model: ClassVar[ChargeModel] = ChargeModel.STANDARD
    amount: Decimal


@dataclass(frozen=True)
class PackageProperties:
    """A price per started package, after the free units."""

    model: ClassVar[ChargeModel] = ChargeModel.PACKAGE
    amount: Decimal
    package_size: int
    free_units: int


@dataclass(frozen=True)
class GraduatedProperties:
    """Tiers that each price the units falling in them."""

    model: ClassVar[ChargeModel] = ChargeModel.GRADUATED
    tiers: tuple[Tier, ...]


@dataclass(frozen=True)
class VolumeProperties:
    """Tiers of which one prices all the units."""

    model: ClassVar[ChargeModel] = ChargeModel.VOLUME
    tiers: tuple[Tier, ...]


@dataclass(frozen=True)
class GraduatedPercentageProperties:
    """Tiers that each charge a percentage of the units falling in them."""

    model: ClassVar[ChargeModel] = ChargeModel.GRADUATED_PERCENTAGE
    tiers: tuple[PercentageTier, ...]


@dataclass(frozen=True)
class PercentageProperties:
    """A percentage of the units and a fixed amount per event, some of it free, within bounds per event.

    Units:   `rate` in percent; amounts in major currency units; None where a rule is not set.
    """

    model: ClassVar[ChargeModel] = ChargeModel.PERCENTAGE
    rate: Decimal
    fixed_amount: Decimal | None = None
    free_units_per_events: int | None = None
    free_units_per_total_aggregation: Decimal | None = None
    per_transaction_min_amount: Decimal | None = None
    per_transaction_max_amount: Decimal | None = None


@dataclass(frozen=True)
class DynamicProperties:
    """Nothing to set: the events carry their amounts."""

    model: ClassVar[ChargeModel] = ChargeModel.DYNAMIC


ChargeProperties = (
    StandardProperties
    | PackageProperties
    | GraduatedProperties
    | VolumeProperties
    | GraduatedPercentageProperties
    | PercentageProperties
    | DynamicProperties
)


def parse_properties(model: ChargeModel, raw: Mapping[str, object]) -> ChargeProperties:
    """Check the properties of a charge and turn them into values.

    Bounds:  amounts and rates are text, ≥ 0, plain digits only, at most 15 before and 18 after the point;
             integers are JSON integers below 10^15; unknown keys are ignored.
    Raises:  InvalidProperties with the code of every fault, each once.
    Source:  Lago charge models, properties and tiers.
    """
    reader = PropertyReader(raw)
    properties = _read_properties(model, reader)
    reader.check_pricing_group_keys()
    reader.raise_faults()
    return properties


def _read_properties(  # noqa: PLR0911 - one return per charge model
    model: ChargeModel, reader: PropertyReader
) -> ChargeProperties:
    match model:
        case ChargeModel.STANDARD:
            return StandardProperties(amount=reader.amount("amount", "invalid_amount"))
        case ChargeModel.PACKAGE:
            return PackageProperties(
                amount=reader.amount("amount", "invalid_amount"),
                package_size=reader.integer("package_size", "invalid_package_size", minimum=1),
                free_units=reader.integer("free_units", "invalid_free_units", minimum=0),
            )
        case ChargeModel.GRADUATED:
            return GraduatedProperties(reader.tiers("graduated_ranges"))
        case ChargeModel.VOLUME:
            return VolumeProperties(reader.tiers("volume_ranges", gap=1))
        case ChargeModel.GRADUATED_PERCENTAGE:
            return GraduatedPercentageProperties(reader.percentage_tiers("graduated_percentage_ranges"))
        case ChargeModel.PERCENTAGE:
            return _read_percentage(reader)
        case ChargeModel.DYNAMIC:
            return DynamicProperties()
        case unreachable:
            assert_never(unreachable)


def _read_percentage(reader: PropertyReader) -> PercentageProperties:
    properties = PercentageProperties(
        rate=reader.amount("rate", "invalid_rate"),
        fixed_amount=reader.optional_amount("fixed_amount", "invalid_fixed_amount"),
        free_units_per_events=reader.optional_integer(
            "free_units_per_events", "invalid_free_units_per_events", minimum=1
        ),
        free_units_per_total_aggregation=reader.optional_amount(
            "free_units_per_total_aggregation", "invalid_free_units_per_total_aggregation"
        ),
        per_transaction_min_amount=reader.optional_amount("per_transaction_min_amount", "invalid_amount"),
        per_transaction_max_amount=reader.optional_amount("per_transaction_max_amount", "invalid_amount"),
    )
    lowest, highest = properties.per_transaction_min_amount, properties.per_transaction_max_amount
    if lowest is not None and highest is not None and highest < lowest:
        reader.refuse("per_transaction_max_lower_than_per_transaction_min")
    return properties


def normalize_properties(model: ChargeModel, raw: Mapping[str, object] | None) -> dict[str, object]:
    """The properties to store: the model's defaults where none are given, else the keys the model knows.

    `grouped_by` and `pricing_group_keys` are two names of one list: given either, both are returned, the
    newer name winning where they differ.

    Source:  Lago charge models, defaults and plan attributes.
    """
    if not raw:
        return default_properties(model)
    known = {key: raw[key] for key in (*_known_keys(model), "presentation_group_keys") if key in raw}
    group_keys = raw.get("pricing_group_keys")
    if group_keys is None:
        group_keys = raw.get("grouped_by")
    if group_keys is not None:
        known |= {"pricing_group_keys": group_keys, "grouped_by": group_keys}
    return known


def default_properties(  # noqa: PLR0911 - one return per charge model
    model: ChargeModel,
) -> dict[str, object]:
    """What a charge is created with where it names no properties: everything free.

    Source:  Lago charge models, defaults.
    """
    bounds: dict[str, object] = {"from_value": 0, "to_value": None}
    match model:
        case ChargeModel.STANDARD:
            return {"amount": "0"}
        case ChargeModel.PACKAGE:
            return {"amount": "0", "package_size": 1, "free_units": 0}
        case ChargeModel.GRADUATED:
            return {"graduated_ranges": [{**bounds, "per_unit_amount": "0", "flat_amount": "0"}]}
        case ChargeModel.VOLUME:
            return {"volume_ranges": [{**bounds, "per_unit_amount": "0", "flat_amount": "0"}]}
        case ChargeModel.GRADUATED_PERCENTAGE:
            return {"graduated_percentage_ranges": [{**bounds, "rate": "0", "flat_amount": "0"}]}
        case ChargeModel.PERCENTAGE:
            return {"rate": "0"}
        case ChargeModel.DYNAMIC:
            return {}
        case unreachable:
            assert_never(unreachable)


def _known_keys(model: ChargeModel) -> tuple[str, ...]:
    if model is ChargeModel.PERCENTAGE:
        return (
            "rate",
            "fixed_amount",
            "free_units_per_events",
            "free_units_per_total_aggregation",
            "per_transaction_min_amount",
            "per_transaction_max_amount",
        )
    return tuple(default_properties(model))
