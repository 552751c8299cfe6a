"""Credit notes: what is given back of a final invoice, fee by fee.

Whoever writes one has locked the customer: numbers without gaps, what remains of a fee and the balances that
invoices take from all depend on nobody else writing at the same time.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from invoicer.billing.invoice_building import InvoiceStatus
from invoicer.billing.local_days import local_day
from invoicer.db import CreditNote, CreditNoteAppliedTax, CreditNoteItem, Fee, FeeAppliedTax, Invoice
from invoicer.rating import credit_notes as rating
from invoicer.rating.arithmetic import ZERO, exact_arithmetic, round_half_up
from invoicer.rating.taxes import Tax
from schemas.errors import InputError, NotFound


class CreditNoteReason(StrEnum):
    """Why money is given back."""

    DUPLICATED_CHARGE = "duplicated_charge"
    PRODUCT_UNSATISFACTORY = "product_unsatisfactory"
    ORDER_CHANGE = "order_change"
    ORDER_CANCELLATION = "order_cancellation"
    FRAUDULENT_CHARGE = "fraudulent_charge"
    OTHER = "other"


class CreditStatus(StrEnum):
    """What became of the credit of a note."""

    AVAILABLE = "available"
    CONSUMED = "consumed"
    VOIDED = "voided"


class RefundStatus(StrEnum):
    """What became of the refund of a note. There is no payment provider: the caller says so."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True)
class CreditNoteItemInput:
    """What to give back of a fee: `amount` in minor units, unrounded, before taxes, ≥ 0."""

    fee: Fee
    amount: Decimal


@dataclass(frozen=True)
class NoteShares:
    """What of a note's total is not credit, in minor units: refunded, or taken off what the invoice owes."""

    refund_amount_cents: int = 0
    offset_amount_cents: int = 0


@dataclass(frozen=True)
class IssuedNotes:
    """The notes an invoice has, oldest first. Voided ones count: their credit was given, then taken back."""

    notes: Sequence[CreditNote] = ()

    @exact_arithmetic()
    def precise_cents_of(self, fee: Fee) -> Decimal:
        """What was given back of a fee before taxes, unrounded."""
        return sum((item.precise_amount_cents for item in self._items_of(fee)), ZERO)

    def cents_of(self, fee: Fee) -> int:
        """What was given back of a fee before taxes, as the items show it."""
        return sum(item.amount_cents for item in self._items_of(fee))

    @exact_arithmetic()
    def remainder_of(self, invoice: Invoice) -> rating.InvoiceRemainder:
        """What they left of the invoice."""
        sub_totals = sum(note.sub_total_excluding_taxes_amount_cents for note in self.notes)
        taxes = sum(note.taxes_amount_cents for note in self.notes)
        precise_taxes = sum((note.precise_taxes_amount_cents for note in self.notes), ZERO)
        return rating.InvoiceRemainder(
            sub_total_excluding_taxes_cents=invoice.sub_total_excluding_taxes_amount_cents - sub_totals,
            taxes_cents=invoice.taxes_amount_cents - taxes,
            taxes_rounding_cents=taxes - precise_taxes,
        )

    def _items_of(self, fee: Fee) -> Iterable[CreditNoteItem]:
        return (item for note in self.notes for item in note.items if item.fee_id == fee.id)


@dataclass(frozen=True)
class PricedNote:
    """A note that is not written yet: its items, cut as they are kept, and what they come to."""

    items: tuple[CreditNoteItemInput, ...]
    amounts: rating.CreditNoteAmounts
    issued: IssuedNotes = field(repr=False)


def issue_credit_note(
    session: Session,
    invoice: Invoice,
    items: Sequence[CreditNoteItemInput],
    *,
    reason: CreditNoteReason,
    description: str | None,
    now: datetime,
) -> CreditNote:
    """Give back the items with their taxes, all as credit for invoices to come, in the caller's transaction.

    The customer is locked by the caller. Amounts are cut at 5 decimals of a minor unit. A note that takes all
    that is left of an invoice comes to exactly that.
    Raises: NotFound for a fee of another invoice; InputError for an amount that is negative or more than what
            remains of its fee, for a note that comes to nothing, and for an invoice that is not final.
    Source: Lago credit notes, creation.
    """
    priced = price_credit_note(session, invoice, items)
    return write_credit_note(
        session, invoice, priced, NoteShares(), reason=reason, description=description, now=now
    )


def price_credit_note(session: Session, invoice: Invoice, items: Sequence[CreditNoteItemInput]) -> PricedNote:
    """What a note over `items` would come to now, be it nothing; nothing is written.

    Raises: as `issue_credit_note`, but for a note that comes to nothing.
    """
    if invoice.status != InvoiceStatus.FINALIZED:
        # Lago keeps a draft of the note with the draft of the invoice; here a note is final or not there.
        raise InputError({"invoice_id": ["not_supported"]})
    issued = issued_notes(session, invoice.id)
    cut = tuple(CreditNoteItemInput(item.fee, rating.cut_item(item.amount)) for item in items)
    _check_items(invoice, cut, issued)
    amounts = rating.credit_note_amounts(
        [_part(item) for item in cut], issued.remainder_of(invoice), takes_all=_takes_all(invoice, cut, issued)
    )
    return PricedNote(cut, amounts, issued)


def write_credit_note(
    session: Session,
    invoice: Invoice,
    priced: PricedNote,
    shares: NoteShares,
    *,
    reason: CreditNoteReason,
    description: str | None,
    now: datetime,
) -> CreditNote:
    """Number and save a priced note; what of its total is not in `shares` becomes credit.

    Raises: InputError for a note that comes to nothing.
    Source: Lago credit notes, amounts; invoices, numbering.
    """
    if priced.amounts.total_amount_cents <= 0:
        raise InputError({"base": ["total_amount_must_be_positive"]})
    sequential_id = 1 + max((note.sequential_id for note in priced.issued.notes), default=0)
    total = priced.amounts.total_amount_cents
    credit = total - shares.refund_amount_cents - shares.offset_amount_cents
    note = CreditNote(
        id=uuid.uuid4(),
        organization_id=invoice.organization_id,
        customer_id=invoice.customer_id,
        invoice=invoice,
        sequential_id=sequential_id,
        number=f"{invoice.number}-CN{sequential_id:03d}",
        issuing_date=local_day(now, ZoneInfo(invoice.customer.applicable_timezone)),
        reason=reason,
        description=description,
        currency=invoice.currency,
        credit_status=CreditStatus.AVAILABLE if credit else None,
        refund_status=RefundStatus.PENDING if shares.refund_amount_cents else None,
        credit_amount_cents=credit,
        refund_amount_cents=shares.refund_amount_cents,
        offset_amount_cents=shares.offset_amount_cents,
        total_amount_cents=total,
        balance_amount_cents=credit,
        sub_total_excluding_taxes_amount_cents=priced.amounts.sub_total_excluding_taxes_amount_cents,
        coupons_adjustment_amount_cents=priced.amounts.coupons_adjustment_amount_cents,
        taxes_amount_cents=priced.amounts.taxes_amount_cents,
        precise_taxes_amount_cents=priced.amounts.precise_taxes_amount_cents,
        precise_total_amount_cents=priced.amounts.precise_total_amount_cents,
        taxes_rate=priced.amounts.taxes_rate,
        items=[_item(item, position, now) for position, item in enumerate(priced.items)],
        applied_taxes=list(_applied_taxes(priced, now)),
        created_at=now,
        updated_at=now,
    )
    session.add(note)
    session.flush()
    return note


def issued_notes(session: Session, invoice_id: uuid.UUID) -> IssuedNotes:
    """The notes of an invoice, as the database has them now."""
    rows = session.scalars(
        select(CreditNote)
        .where(CreditNote.invoice_id == invoice_id)
        .options(selectinload(CreditNote.items))
        .order_by(CreditNote.sequential_id)
        .execution_options(populate_existing=True)
    )
    return IssuedNotes(rows.all())


def _check_items(invoice: Invoice, items: Sequence[CreditNoteItemInput], issued: IssuedNotes) -> None:
    """A fee may be named more than once; its items count together."""
    codes: list[str] = []
    wanted: dict[uuid.UUID, list[CreditNoteItemInput]] = {}
    for item in items:
        if item.fee.invoice_id != invoice.id:
            raise NotFound("fee")
        if item.amount < 0:
            codes.append("invalid_value")
        wanted.setdefault(item.fee.id, []).append(item)
    if any(_exceeds(of_fee, issued) for of_fee in wanted.values()):
        codes.append("higher_than_remaining_fee_amount")
    if codes:
        raise InputError({"amount_cents": list(dict.fromkeys(codes))})


@exact_arithmetic()
def _exceeds(items: Sequence[CreditNoteItemInput], issued: IssuedNotes) -> bool:
    """Both as shown and unrounded: many small amounts that each show 0 cannot exceed a fee either."""
    fee = items[0].fee
    shown = issued.cents_of(fee) + sum(_shown_cents(item) for item in items)
    precise = issued.precise_cents_of(fee) + sum((item.amount for item in items), ZERO)
    return max(shown, int(round_half_up(precise))) > fee.amount_cents


def _takes_all(invoice: Invoice, items: Sequence[CreditNoteItemInput], issued: IssuedNotes) -> bool:
    given_back = sum(issued.cents_of(fee) for fee in invoice.fees) + sum(_shown_cents(item) for item in items)
    return given_back == invoice.fees_amount_cents


def _shown_cents(item: CreditNoteItemInput) -> int:
    return int(round_half_up(item.amount))


def _part(item: CreditNoteItemInput) -> rating.CreditedPart:
    fee = item.fee
    return rating.CreditedPart(
        precise_amount_cents=item.amount,
        taxes=tuple(Tax(code=applied.tax_code, rate=applied.tax_rate) for applied in fee.applied_taxes),
        precise_coupons=rating.coupons_of_part(item.amount, fee.amount_cents, fee.precise_coupons_amount_cents),
    )


def _item(item: CreditNoteItemInput, position: int, now: datetime) -> CreditNoteItem:
    return CreditNoteItem(
        id=uuid.uuid4(),
        fee=item.fee,
        position=position,
        amount_cents=_shown_cents(item),
        precise_amount_cents=item.amount,
        created_at=now,
        updated_at=now,
    )


def _applied_taxes(priced: PricedNote, now: datetime) -> Iterable[CreditNoteAppliedTax]:
    copies: dict[str, FeeAppliedTax] = {
        applied.tax_code: applied for item in priced.items for applied in item.fee.applied_taxes
    }
    for position, applied in enumerate(priced.amounts.applied_taxes):
        copy = copies[applied.tax.code]
        yield CreditNoteAppliedTax(
            id=uuid.uuid4(),
            position=position,
            tax_id=copy.tax_id,
            tax_name=copy.tax_name,
            tax_code=copy.tax_code,
            tax_rate=copy.tax_rate,
            tax_description=copy.tax_description,
            base_amount_cents=applied.fees_amount_cents,
            amount_cents=applied.amount_cents,
            created_at=now,
            updated_at=now,
        )
