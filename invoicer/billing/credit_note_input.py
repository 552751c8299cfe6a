"""What a caller may say about a credit note."""

import uuid
from typing import Annotated

from pydantic import Field

from invoicer.billing.credit_notes import CreditNoteReason, RefundStatus
from invoicer.catalog.fields import (
    AMOUNT_CENTS_MAX,
    AmountCents,
    LongText,
    NoBoolean,
    RequiredText,
    ResourceInput,
)
from invoicer.catalog.metadata import Metadata

ITEMS_MAX = 1_000
"""Items of one note: the fees of a large invoice."""

# A negative amount is refused with a code of its own, see `price_credit_note`.
ItemCents = Annotated[int, NoBoolean, Field(ge=-AMOUNT_CENTS_MAX, le=AMOUNT_CENTS_MAX)]


class ItemInput(ResourceInput):
    """What to give back of a fee: minor units before taxes and coupons."""

    fee_id: uuid.UUID
    amount_cents: ItemCents


ItemInputs = Annotated[list[ItemInput], Field(max_length=ITEMS_MAX)]


class CreditNoteEstimateInput(ResourceInput):
    """A note to calculate and not to write."""

    invoice_id: RequiredText
    items: ItemInputs


class CreditNoteInput(CreditNoteEstimateInput):
    """A note to write: the items, and how what they come to is given back.

    Source: Lago credit notes, creation.
    """

    reason: CreditNoteReason | None = None
    description: LongText | None = None
    credit_amount_cents: AmountCents | None = None
    refund_amount_cents: AmountCents | None = None
    offset_amount_cents: AmountCents | None = None
    metadata: Metadata | None = None


class CreditNoteChanges(ResourceInput):
    """Changes of a note; only what is named changes."""

    refund_status: RefundStatus | None = None
    metadata: Metadata | None = None
