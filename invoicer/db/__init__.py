"""The catalog and the invoices at rest: SQLAlchemy models on PostgreSQL, or SQLite embedded.

Every model is imported here, so that metadata is complete wherever one of them is used.
"""

from invoicer.db.base import Base
from invoicer.db.credit_notes import CreditNote, CreditNoteAppliedTax, CreditNoteItem, InvoiceCredit
from invoicer.db.customers import Customer, CustomerMetadata
from invoicer.db.fees import Fee, FeeAppliedTax
from invoicer.db.invoices import BillingPeriod, Invoice, InvoiceAppliedTax, InvoiceMetadata
from invoicer.db.late_events import LATE_EVENT_MARK_ID, LateAdjustment, LateEvent, LateEventMark
from invoicer.db.metrics import BillableMetric
from invoicer.db.organizations import ApiKey, CatalogSnapshotRow, Organization
from invoicer.db.plans import Charge, ChargeFilter, Plan
from invoicer.db.subscriptions import Subscription
from invoicer.db.taxes import Tax

__all__ = [
    "LATE_EVENT_MARK_ID",
    "ApiKey",
    "Base",
    "BillableMetric",
    "BillingPeriod",
    "CatalogSnapshotRow",
    "Charge",
    "ChargeFilter",
    "CreditNote",
    "CreditNoteAppliedTax",
    "CreditNoteItem",
    "Customer",
    "CustomerMetadata",
    "Fee",
    "FeeAppliedTax",
    "Invoice",
    "InvoiceAppliedTax",
    "InvoiceCredit",
    "InvoiceMetadata",
    "LateAdjustment",
    "LateEvent",
    "LateEventMark",
    "Organization",
    "Plan",
    "Subscription",
    "Tax",
]
