"""A plan as the API shows it."""

import uuid
from typing import Any

from pydantic import BaseModel, SerializerFunctionWrapHandler, model_serializer

from invoicer.api.outputs.charge import ChargeOutput
from invoicer.api.outputs.tax import TaxOutput
from invoicer.api.pagination import PaginationMeta
from invoicer.catalog.fields import Instant
from invoicer.db import Plan


class PlanOutput(BaseModel):
    """A plan with its charges. The counters are constant 0, as upstream; what is not billed yet is empty."""

    lago_id: uuid.UUID
    name: str
    invoice_display_name: str | None
    created_at: Instant
    code: str
    interval: str
    description: str | None
    amount_cents: int
    amount_currency: str
    trial_period: float | None
    pay_in_advance: bool
    bill_charges_monthly: bool | None
    bill_fixed_charges_monthly: bool | None = None
    customers_count: int = 0
    active_subscriptions_count: int = 0
    draft_invoices_count: int = 0
    parent_id: uuid.UUID | None = None
    pending_deletion: bool
    charges: list[ChargeOutput]
    fixed_charges: list[dict[str, Any]] = []
    taxes: list[TaxOutput]
    usage_thresholds: list[dict[str, Any]] = []
    applicable_usage_thresholds: list[dict[str, Any]] = []
    entitlements: list[dict[str, Any]] = []
    metadata: dict[str, str | None] | None = None

    @model_serializer(mode="wrap")
    def _without_empty_metadata(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The key is absent where there are no notes. Source: Lago plans."""
        values: dict[str, Any] = serialize(self)
        if values.get("metadata") is None:
            values.pop("metadata", None)
        return values

    @classmethod
    def of(cls, plan: Plan) -> "PlanOutput":
        return cls(
            lago_id=plan.id,
            name=plan.name,
            invoice_display_name=plan.invoice_display_name,
            created_at=plan.created_at,
            code=plan.code,
            interval=plan.interval,
            description=plan.description,
            amount_cents=plan.amount_cents,
            amount_currency=plan.amount_currency,
            # shown, never calculated with: the API's trial is a JSON number
            trial_period=None if plan.trial_period is None else float(plan.trial_period),
            pay_in_advance=plan.pay_in_advance,
            bill_charges_monthly=plan.bill_charges_monthly,
            pending_deletion=plan.pending_deletion,
            metadata=plan.metadata_values,
            charges=[ChargeOutput.of(charge) for charge in plan.charges],
            taxes=[TaxOutput.of(tax) for tax in plan.taxes],
        )


class PlanAnswer(BaseModel):
    """One plan."""

    plan: PlanOutput


class PlansAnswer(BaseModel):
    """A page of plans."""

    plans: list[PlanOutput]
    meta: PaginationMeta
