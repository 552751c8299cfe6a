"""The first schema."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from invoicer.db.base import ExactDecimal, UtcDateTime

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:  # noqa: PLR0915 - one statement a table, as generated
    op.create_table(
        "catalog_snapshot",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("published_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_catalog_snapshot")),
    )
    op.create_table(
        "organizations",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("default_currency", sa.String(length=3), nullable=False),
        sa.Column("timezone", sa.String(length=64), nullable=False),
        sa.Column("country", sa.String(length=2), nullable=True),
        sa.Column("address_line1", sa.String(), nullable=True),
        sa.Column("address_line2", sa.String(), nullable=True),
        sa.Column("city", sa.String(), nullable=True),
        sa.Column("state", sa.String(), nullable=True),
        sa.Column("zipcode", sa.String(), nullable=True),
        sa.Column("email", sa.String(), nullable=True),
        sa.Column("legal_name", sa.String(), nullable=True),
        sa.Column("legal_number", sa.String(), nullable=True),
        sa.Column("tax_identification_number", sa.String(), nullable=True),
        sa.Column("webhook_url", sa.String(), nullable=True),
        sa.Column("email_settings", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("net_payment_term", sa.BigInteger(), nullable=False),
        sa.Column("invoice_grace_period", sa.BigInteger(), nullable=False),
        sa.Column("invoice_footer", sa.Text(), nullable=True),
        sa.Column("document_locale", sa.String(length=8), nullable=False),
        sa.Column("document_numbering", sa.String(length=32), nullable=False),
        sa.Column("document_number_prefix", sa.String(length=10), nullable=False),
        sa.Column("finalize_zero_amount_invoice", sa.Boolean(), nullable=False),
        sa.Column("subscription_invoice_issuing_date_anchor", sa.String(length=32), nullable=False),
        sa.Column("subscription_invoice_issuing_date_adjustment", sa.String(length=40), nullable=False),
        sa.Column("last_customer_sequential_id", sa.BigInteger(), nullable=False),
        sa.Column("last_invoice_sequential_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organizations")),
    )
    op.create_table(
        "api_keys",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_api_keys_organization_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_api_keys_key_hash")),
    )
    with op.batch_alter_table("api_keys", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_api_keys_organization_id"), ["organization_id"], unique=False)

    op.create_table(
        "billable_metrics",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("code", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("aggregation_type", sa.String(length=32), nullable=False),
        sa.Column("field_name", sa.String(length=255), nullable=True),
        sa.Column("expression", sa.Text(), nullable=True),
        sa.Column("recurring", sa.Boolean(), nullable=False),
        sa.Column("weighted_interval", sa.String(length=16), nullable=True),
        sa.Column("rounding_function", sa.String(length=8), nullable=True),
        sa.Column("rounding_precision", sa.BigInteger(), nullable=True),
        sa.Column("filters", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("deleted_at", UtcDateTime(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_billable_metrics_organization_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billable_metrics")),
    )
    with op.batch_alter_table("billable_metrics", schema=None) as batch_op:
        batch_op.create_index(
            "uq_billable_metrics_code_alive",
            ["organization_id", "code"],
            unique=True,
            postgresql_where=sa.text("deleted_at IS NULL"),
            sqlite_where=sa.text("deleted_at IS NULL"),
        )

    op.create_table(
        "customers",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.String(length=255), nullable=False),
        sa.Column("sequential_id", sa.BigInteger(), nullable=False),
        sa.Column("slug", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("firstname", sa.String(length=255), nullable=True),
        sa.Column("lastname", sa.String(length=255), nullable=True),
        sa.Column("customer_type", sa.String(length=16), nullable=True),
        sa.Column("account_type", sa.String(length=16), nullable=False),
        sa.Column("email", sa.String(), nullable=True),
        sa.Column("phone", sa.String(), nullable=True),
        sa.Column("url", sa.String(), nullable=True),
        sa.Column("logo_url", sa.String(), nullable=True),
        sa.Column("legal_name", sa.String(), nullable=True),
        sa.Column("legal_number", sa.String(), nullable=True),
        sa.Column("tax_identification_number", sa.String(), nullable=True),
        sa.Column("country", sa.String(length=2), nullable=True),
        sa.Column("address_line1", sa.String(), nullable=True),
        sa.Column("address_line2", sa.String(), nullable=True),
        sa.Column("city", sa.String(), nullable=True),
        sa.Column("state", sa.String(), nullable=True),
        sa.Column("zipcode", sa.String(), nullable=True),
        sa.Column("shipping_address", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("timezone", sa.String(length=64), nullable=True),
        sa.Column("net_payment_term", sa.BigInteger(), nullable=True),
        sa.Column("finalize_zero_amount_invoice", sa.String(length=16), nullable=False),
        sa.Column("invoice_grace_period", sa.BigInteger(), nullable=True),
        sa.Column("document_locale", sa.String(length=8), nullable=True),
        sa.Column("subscription_invoice_issuing_date_anchor", sa.String(length=32), nullable=True),
        sa.Column("subscription_invoice_issuing_date_adjustment", sa.String(length=40), nullable=True),
        sa.Column(
            "billing_configuration", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False
        ),
        sa.Column("last_invoice_sequential_id", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", UtcDateTime(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_customers_organization_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customers")),
    )
    with op.batch_alter_table("customers", schema=None) as batch_op:
        batch_op.create_index(
            "uq_customers_external_id_alive",
            ["organization_id", "external_id"],
            unique=True,
            postgresql_where=sa.text("deleted_at IS NULL"),
            sqlite_where=sa.text("deleted_at IS NULL"),
        )

    op.create_table(
        "plans",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("code", sa.String(length=255), nullable=False),
        sa.Column("invoice_display_name", sa.String(length=255), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("interval", sa.String(length=16), nullable=False),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("amount_currency", sa.String(length=3), nullable=False),
        sa.Column("trial_period", ExactDecimal(), nullable=True),
        sa.Column("pay_in_advance", sa.Boolean(), nullable=False),
        sa.Column("bill_charges_monthly", sa.Boolean(), nullable=True),
        sa.Column("metadata", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.Column("pending_deletion", sa.Boolean(), nullable=False),
        sa.Column("deleted_at", UtcDateTime(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name=op.f("fk_plans_organization_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plans")),
    )
    with op.batch_alter_table("plans", schema=None) as batch_op:
        batch_op.create_index(
            "uq_plans_code_alive",
            ["organization_id", "code"],
            unique=True,
            postgresql_where=sa.text("deleted_at IS NULL"),
            sqlite_where=sa.text("deleted_at IS NULL"),
        )

    op.create_table(
        "taxes",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("code", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("rate", ExactDecimal(), nullable=False),
        sa.Column("applied_to_organization", sa.Boolean(), nullable=False),
        sa.Column("deleted_at", UtcDateTime(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name=op.f("fk_taxes_organization_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_taxes")),
    )
    with op.batch_alter_table("taxes", schema=None) as batch_op:
        batch_op.create_index(
            "uq_taxes_code_alive",
            ["organization_id", "code"],
            unique=True,
            postgresql_where=sa.text("deleted_at IS NULL"),
            sqlite_where=sa.text("deleted_at IS NULL"),
        )

    op.create_table(
        "charges",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("plan_id", sa.Uuid(), nullable=False),
        sa.Column("billable_metric_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.String(length=255), nullable=False),
        sa.Column("charge_model", sa.String(length=32), nullable=False),
        sa.Column("invoice_display_name", sa.String(length=255), nullable=True),
        sa.Column("pay_in_advance", sa.Boolean(), nullable=False),
        sa.Column("invoiceable", sa.Boolean(), nullable=False),
        sa.Column("prorated", sa.Boolean(), nullable=False),
        sa.Column("min_amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("properties", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("deleted_at", UtcDateTime(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["billable_metric_id"], ["billable_metrics.id"], name=op.f("fk_charges_billable_metric_id")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_charges_organization_id")
        ),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_charges_plan_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_charges")),
    )
    with op.batch_alter_table("charges", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_charges_billable_metric_id"), ["billable_metric_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_charges_plan_id"), ["plan_id"], unique=False)

    op.create_table(
        "customer_metadata",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(length=20), nullable=False),
        sa.Column("value", sa.String(length=100), nullable=False),
        sa.Column("display_in_invoice", sa.Boolean(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.id"], name=op.f("fk_customer_metadata_customer_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customer_metadata")),
    )
    with op.batch_alter_table("customer_metadata", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_customer_metadata_customer_id"), ["customer_id"], unique=False)

    op.create_table(
        "customer_taxes",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("tax_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.id"], name=op.f("fk_customer_taxes_customer_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tax_id"], ["taxes.id"], name=op.f("fk_customer_taxes_tax_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("customer_id", "tax_id", name=op.f("pk_customer_taxes")),
    )
    op.create_table(
        "invoices",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("sequential_id", sa.BigInteger(), nullable=True),
        sa.Column("organization_sequential_id", sa.BigInteger(), nullable=True),
        sa.Column("number", sa.String(length=64), nullable=True),
        sa.Column("invoice_type", sa.String(length=24), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("payment_status", sa.String(length=16), nullable=False),
        sa.Column("payment_overdue", sa.Boolean(), nullable=False),
        sa.Column("payment_overdue_at", UtcDateTime(), nullable=True),
        sa.Column("payment_dispute_lost_at", UtcDateTime(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("timezone", sa.String(length=64), nullable=False),
        sa.Column("billed_at", UtcDateTime(), nullable=False),
        sa.Column("issuing_date", sa.Date(), nullable=False),
        sa.Column("payment_due_date", sa.Date(), nullable=False),
        sa.Column("net_payment_term", sa.BigInteger(), nullable=False),
        sa.Column("expected_finalization_at", UtcDateTime(), nullable=True),
        sa.Column("finalized_at", UtcDateTime(), nullable=True),
        sa.Column("voided_at", UtcDateTime(), nullable=True),
        sa.Column("purchase_order_number", sa.String(length=255), nullable=True),
        sa.Column("fees_amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("coupons_amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("progressive_billing_credit_amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("sub_total_excluding_taxes_amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("taxes_amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("taxes_rate", ExactDecimal(), nullable=False),
        sa.Column("sub_total_including_taxes_amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("credit_notes_amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("prepaid_credit_amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("total_amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("total_paid_amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_invoices_customer_id")),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_invoices_organization_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoices")),
        sa.UniqueConstraint("organization_id", "number", name="uq_invoices_number"),
    )
    with op.batch_alter_table("invoices", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_invoices_customer_id"), ["customer_id"], unique=False)
        batch_op.create_index("ix_invoices_finalization", ["status", "expected_finalization_at"], unique=False)
        batch_op.create_index(
            "ix_invoices_listing", ["organization_id", "issuing_date", "created_at"], unique=False
        )
        batch_op.create_index("ix_invoices_payment_overdue_at", ["payment_overdue_at"], unique=False)

    op.create_table(
        "plan_taxes",
        sa.Column("plan_id", sa.Uuid(), nullable=False),
        sa.Column("tax_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_plan_taxes_plan_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tax_id"], ["taxes.id"], name=op.f("fk_plan_taxes_tax_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("plan_id", "tax_id", name=op.f("pk_plan_taxes")),
    )
    op.create_table(
        "subscriptions",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("plan_id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("billing_time", sa.String(length=16), nullable=False),
        sa.Column("subscription_at", UtcDateTime(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("activated_at", UtcDateTime(), nullable=True),
        sa.Column("ending_at", UtcDateTime(), nullable=True),
        sa.Column("trial_ended_at", UtcDateTime(), nullable=True),
        sa.Column("terminated_at", UtcDateTime(), nullable=True),
        sa.Column("canceled_at", UtcDateTime(), nullable=True),
        sa.Column("on_termination_credit_note", sa.String(length=16), nullable=True),
        sa.Column("on_termination_invoice", sa.String(length=16), nullable=False),
        sa.Column("consolidate_invoice", sa.Boolean(), nullable=False),
        sa.Column("purchase_order_number", sa.String(length=255), nullable=True),
        sa.Column("due_at", UtcDateTime(), nullable=True),
        sa.Column("billed_until", UtcDateTime(), nullable=True),
        sa.Column("parked_reason", sa.String(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_subscriptions_customer_id")),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_subscriptions_organization_id")
        ),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_subscriptions_plan_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscriptions")),
    )
    with op.batch_alter_table("subscriptions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_subscriptions_customer_id"), ["customer_id"], unique=False)
        batch_op.create_index("ix_subscriptions_due_at", ["due_at"], unique=False)
        batch_op.create_index("ix_subscriptions_external_id", ["organization_id", "external_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_subscriptions_plan_id"), ["plan_id"], unique=False)
        batch_op.create_index(
            "uq_subscriptions_external_id_active",
            ["organization_id", "external_id"],
            unique=True,
            postgresql_where=sa.text("status = 'active'"),
            sqlite_where=sa.text("status = 'active'"),
        )

    op.create_table(
        "billing_periods",
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("invoicing_reason", sa.String(length=40), nullable=False),
        sa.Column("billing_at", UtcDateTime(), nullable=False),
        sa.Column("subscription_from", UtcDateTime(), nullable=False),
        sa.Column("subscription_to", UtcDateTime(), nullable=False),
        sa.Column("subscription_end_kind", sa.String(length=16), nullable=False),
        sa.Column("charges_from", UtcDateTime(), nullable=False),
        sa.Column("charges_to", UtcDateTime(), nullable=False),
        sa.Column("charges_end_kind", sa.String(length=16), nullable=False),
        sa.Column("charges_duration_days", sa.BigInteger(), nullable=False),
        sa.Column("bills_subscription_fee", sa.Boolean(), nullable=False),
        sa.Column("bills_charges", sa.Boolean(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["invoices.id"], name=op.f("fk_billing_periods_invoice_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("fk_billing_periods_subscription_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billing_periods")),
        sa.UniqueConstraint("subscription_id", "invoicing_reason", "billing_at", name="uq_billing_periods_once"),
    )
    with op.batch_alter_table("billing_periods", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_billing_periods_invoice_id"), ["invoice_id"], unique=False)

    op.create_table(
        "charge_filters",
        sa.Column("charge_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("invoice_display_name", sa.String(length=255), nullable=True),
        sa.Column("properties", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("values", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("deleted_at", UtcDateTime(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["charge_id"], ["charges.id"], name=op.f("fk_charge_filters_charge_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_charge_filters")),
    )
    with op.batch_alter_table("charge_filters", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_charge_filters_charge_id"), ["charge_id"], unique=False)

    op.create_table(
        "charge_taxes",
        sa.Column("charge_id", sa.Uuid(), nullable=False),
        sa.Column("tax_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["charge_id"], ["charges.id"], name=op.f("fk_charge_taxes_charge_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tax_id"], ["taxes.id"], name=op.f("fk_charge_taxes_tax_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("charge_id", "tax_id", name=op.f("pk_charge_taxes")),
    )
    op.create_table(
        "invoice_applied_taxes",
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("tax_id", sa.Uuid(), nullable=False),
        sa.Column("tax_name", sa.String(length=255), nullable=False),
        sa.Column("tax_code", sa.String(length=255), nullable=False),
        sa.Column("tax_rate", ExactDecimal(), nullable=False),
        sa.Column("tax_description", sa.Text(), nullable=True),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("fees_amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["invoices.id"], name=op.f("fk_invoice_applied_taxes_invoice_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoice_applied_taxes")),
    )
    with op.batch_alter_table("invoice_applied_taxes", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_invoice_applied_taxes_invoice_id"), ["invoice_id"], unique=False)

    op.create_table(
        "invoice_metadata",
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(length=20), nullable=False),
        sa.Column("value", sa.String(length=140), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["invoices.id"], name=op.f("fk_invoice_metadata_invoice_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoice_metadata")),
    )
    with op.batch_alter_table("invoice_metadata", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_invoice_metadata_invoice_id"), ["invoice_id"], unique=False)

    op.create_table(
        "fees",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=True),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("charge_id", sa.Uuid(), nullable=True),
        sa.Column("charge_filter_id", sa.Uuid(), nullable=True),
        sa.Column("true_up_parent_fee_id", sa.Uuid(), nullable=True),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("fee_type", sa.String(length=16), nullable=False),
        sa.Column("grouped_by", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("invoice_display_name", sa.String(length=255), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("units", ExactDecimal(), nullable=False),
        sa.Column("total_aggregated_units", ExactDecimal(), nullable=True),
        sa.Column("events_count", sa.BigInteger(), nullable=True),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("precise_amount_cents", ExactDecimal(), nullable=False),
        sa.Column("unit_amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("precise_unit_amount", ExactDecimal(), nullable=False),
        sa.Column("taxes_amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("taxes_precise_amount_cents", ExactDecimal(), nullable=False),
        sa.Column("taxes_rate", ExactDecimal(), nullable=False),
        sa.Column("precise_coupons_amount_cents", ExactDecimal(), nullable=False),
        sa.Column("amount_details", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("payment_status", sa.String(length=16), nullable=False),
        sa.Column("pay_in_advance", sa.Boolean(), nullable=False),
        sa.Column("invoiceable", sa.Boolean(), nullable=False),
        sa.Column("period_from", UtcDateTime(), nullable=False),
        sa.Column("period_to", UtcDateTime(), nullable=False),
        sa.Column("period_end_kind", sa.String(length=16), nullable=False),
        sa.Column("succeeded_at", UtcDateTime(), nullable=True),
        sa.Column("failed_at", UtcDateTime(), nullable=True),
        sa.Column("refunded_at", UtcDateTime(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["charge_filter_id"], ["charge_filters.id"], name=op.f("fk_fees_charge_filter_id")
        ),
        sa.ForeignKeyConstraint(["charge_id"], ["charges.id"], name=op.f("fk_fees_charge_id")),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["invoices.id"], name=op.f("fk_fees_invoice_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name=op.f("fk_fees_organization_id")),
        sa.ForeignKeyConstraint(["subscription_id"], ["subscriptions.id"], name=op.f("fk_fees_subscription_id")),
        sa.ForeignKeyConstraint(
            ["true_up_parent_fee_id"], ["fees.id"], name=op.f("fk_fees_true_up_parent_fee_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fees")),
    )
    with op.batch_alter_table("fees", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_fees_charge_id"), ["charge_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_fees_invoice_id"), ["invoice_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_fees_organization_id"), ["organization_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_fees_subscription_id"), ["subscription_id"], unique=False)

    op.create_table(
        "fee_applied_taxes",
        sa.Column("fee_id", sa.Uuid(), nullable=False),
        sa.Column("tax_id", sa.Uuid(), nullable=False),
        sa.Column("tax_name", sa.String(length=255), nullable=False),
        sa.Column("tax_code", sa.String(length=255), nullable=False),
        sa.Column("tax_rate", ExactDecimal(), nullable=False),
        sa.Column("tax_description", sa.Text(), nullable=True),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("precise_amount_cents", ExactDecimal(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["fee_id"], ["fees.id"], name=op.f("fk_fee_applied_taxes_fee_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fee_applied_taxes")),
    )
    with op.batch_alter_table("fee_applied_taxes", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_fee_applied_taxes_fee_id"), ["fee_id"], unique=False)


def downgrade() -> None:  # noqa: PLR0915 - one statement a table, as generated
    with op.batch_alter_table("fee_applied_taxes", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_fee_applied_taxes_fee_id"))

    op.drop_table("fee_applied_taxes")
    with op.batch_alter_table("fees", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_fees_subscription_id"))
        batch_op.drop_index(batch_op.f("ix_fees_organization_id"))
        batch_op.drop_index(batch_op.f("ix_fees_invoice_id"))
        batch_op.drop_index(batch_op.f("ix_fees_charge_id"))

    op.drop_table("fees")
    with op.batch_alter_table("invoice_metadata", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_invoice_metadata_invoice_id"))

    op.drop_table("invoice_metadata")
    with op.batch_alter_table("invoice_applied_taxes", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_invoice_applied_taxes_invoice_id"))

    op.drop_table("invoice_applied_taxes")
    op.drop_table("charge_taxes")
    with op.batch_alter_table("charge_filters", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_charge_filters_charge_id"))

    op.drop_table("charge_filters")
    with op.batch_alter_table("billing_periods", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_billing_periods_invoice_id"))

    op.drop_table("billing_periods")
    with op.batch_alter_table("subscriptions", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_subscriptions_external_id_active",
            postgresql_where=sa.text("status = 'active'"),
            sqlite_where=sa.text("status = 'active'"),
        )
        batch_op.drop_index(batch_op.f("ix_subscriptions_plan_id"))
        batch_op.drop_index("ix_subscriptions_external_id")
        batch_op.drop_index("ix_subscriptions_due_at")
        batch_op.drop_index(batch_op.f("ix_subscriptions_customer_id"))

    op.drop_table("subscriptions")
    op.drop_table("plan_taxes")
    with op.batch_alter_table("invoices", schema=None) as batch_op:
        batch_op.drop_index("ix_invoices_payment_overdue_at")
        batch_op.drop_index("ix_invoices_listing")
        batch_op.drop_index("ix_invoices_finalization")
        batch_op.drop_index(batch_op.f("ix_invoices_customer_id"))

    op.drop_table("invoices")
    op.drop_table("customer_taxes")
    with op.batch_alter_table("customer_metadata", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_customer_metadata_customer_id"))

    op.drop_table("customer_metadata")
    with op.batch_alter_table("charges", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_charges_plan_id"))
        batch_op.drop_index(batch_op.f("ix_charges_billable_metric_id"))

    op.drop_table("charges")
    with op.batch_alter_table("taxes", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_taxes_code_alive",
            postgresql_where=sa.text("deleted_at IS NULL"),
            sqlite_where=sa.text("deleted_at IS NULL"),
        )

    op.drop_table("taxes")
    with op.batch_alter_table("plans", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_plans_code_alive",
            postgresql_where=sa.text("deleted_at IS NULL"),
            sqlite_where=sa.text("deleted_at IS NULL"),
        )

    op.drop_table("plans")
    with op.batch_alter_table("customers", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_customers_external_id_alive",
            postgresql_where=sa.text("deleted_at IS NULL"),
            sqlite_where=sa.text("deleted_at IS NULL"),
        )

    op.drop_table("customers")
    with op.batch_alter_table("billable_metrics", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_billable_metrics_code_alive",
            postgresql_where=sa.text("deleted_at IS NULL"),
            sqlite_where=sa.text("deleted_at IS NULL"),
        )

    op.drop_table("billable_metrics")
    with op.batch_alter_table("api_keys", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_api_keys_organization_id"))

    op.drop_table("api_keys")
    op.drop_table("organizations")
    op.drop_table("catalog_snapshot")
