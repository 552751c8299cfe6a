"""The keys of Lago's answers: of each object those that are always there, and those of some answers only.

Source: Lago serializers, the keys they write.
"""

METRIC = frozenset(
    "lago_id name code description aggregation_type weighted_interval recurring rounding_function "
    "rounding_precision created_at field_name expression filters".split()
)
METRIC_COUNTERS = frozenset("active_subscriptions_count draft_invoices_count plans_count".split())
METRIC_FILTER = frozenset({"key", "values"})

TAX = frozenset(
    "lago_id name code rate description applied_to_organization add_ons_count customers_count plans_count "
    "charges_count commitments_count created_at applied_to_billing_entities_codes".split()
)

CHARGE_FILTER = frozenset("lago_id charge_code invoice_display_name properties values".split())
CHARGE = frozenset(
    "lago_id lago_billable_metric_id code invoice_display_name billable_metric_code created_at charge_model "
    "invoiceable regroup_paid_fees pay_in_advance prorated min_amount_cents accepts_target_wallet properties "
    "applied_pricing_unit lago_parent_id filters taxes".split()
)
PLAN = frozenset(
    "lago_id name invoice_display_name created_at code interval description amount_cents amount_currency "
    "trial_period pay_in_advance bill_charges_monthly bill_fixed_charges_monthly customers_count "
    "active_subscriptions_count draft_invoices_count parent_id pending_deletion charges fixed_charges taxes "
    "usage_thresholds applicable_usage_thresholds entitlements".split()
)
"""`metadata` and `minimum_commitment` are absent where there are none."""

CUSTOMER_METADATA = frozenset("lago_id key value display_in_invoice created_at".split())
CUSTOMER_BILLING = frozenset(
    "invoice_grace_period payment_provider payment_provider_code provider_customer_id sync sync_with_provider "
    "document_locale provider_payment_methods subscription_invoice_issuing_date_anchor "
    "subscription_invoice_issuing_date_adjustment".split()
)
CUSTOMER = frozenset(
    "lago_id billing_entity_code external_id account_type name firstname lastname customer_type sequential_id "
    "slug created_at updated_at country address_line1 address_line2 state zipcode email city url phone logo_url "
    "legal_name legal_number currency tax_identification_number timezone applicable_timezone net_payment_term "
    "external_salesforce_id finalize_zero_amount_invoice billing_configuration shipping_address "
    "skip_invoice_custom_sections applicable_invoice_custom_sections error_details integration_customers metadata "
    "taxes".split()
)

SUBSCRIPTION = frozenset(
    "lago_id external_id lago_customer_id external_customer_id name plan_code plan_amount_cents "
    "plan_amount_currency status billing_time subscription_at started_at trial_ended_at ending_at terminated_at "
    "canceled_at created_at previous_plan_code next_plan_code downgrade_plan_date "
    "current_billing_period_started_at current_billing_period_ending_at on_termination_credit_note "
    "on_termination_invoice progressive_billing_disabled consolidate_invoice purchase_order_number "
    "cancellation_reason activated_at payment_method activation_rules applicable_usage_thresholds "
    "applied_invoice_custom_sections billing_entity_code".split()
)
SUBSCRIPTION_IN_FULL = SUBSCRIPTION | {"plan"}
PAYMENT_METHOD = frozenset({"payment_method_id", "payment_method_type"})

EVENT = frozenset(
    "lago_id transaction_id lago_customer_id code timestamp precise_total_amount_cents properties "
    "lago_subscription_id external_subscription_id created_at".split()
)

USAGE = frozenset(
    "from_datetime to_datetime issuing_date currency amount_cents total_amount_cents taxes_amount_cents "
    "lago_invoice_id charges_usage".split()
)
_USED = frozenset(
    "units total_aggregated_units events_count amount_cents pricing_unit_details presentation_breakdowns".split()
)
CHARGE_USAGE = _USED | {"amount_currency", "charge", "billable_metric", "filters", "grouped_usage"}
FILTER_USAGE = _USED | {"invoice_display_name", "values"}
GROUP_USAGE = _USED | {"grouped_by", "filters"}
USED_CHARGE = frozenset("lago_id code charge_model invoice_display_name".split())
USED_METRIC = frozenset("lago_id name code aggregation_type".split())

INVOICE = frozenset(
    "lago_id billing_entity_code sequential_id number purchase_order_number issuing_date payment_due_date "
    "net_payment_term invoice_type status payment_status payment_dispute_lost_at payment_overdue currency "
    "fees_amount_cents taxes_amount_cents progressive_billing_credit_amount_cents coupons_amount_cents "
    "credit_notes_amount_cents sub_total_excluding_taxes_amount_cents sub_total_including_taxes_amount_cents "
    "total_amount_cents total_due_amount_cents total_paid_amount_cents total_offsetted_credit_note_amount_cents "
    "prepaid_credit_amount_cents prepaid_granted_credit_amount_cents prepaid_purchased_credit_amount_cents "
    "file_url xml_url web_url version_number self_billed created_at updated_at voided_at "
    "customer metadata applied_taxes applied_usage_thresholds".split()
)
INVOICE_IN_FULL = INVOICE | frozenset(
    "subscriptions billing_periods fees credits error_details applied_invoice_custom_sections".split()
)
INVOICE_TAX = frozenset(
    "lago_id lago_invoice_id lago_tax_id tax_name tax_code tax_rate tax_description amount_cents amount_currency "
    "fees_amount_cents created_at".split()
)
INVOICE_METADATA = frozenset("lago_id key value created_at".split())
BILLING_PERIOD = frozenset(
    "lago_subscription_id external_subscription_id lago_plan_id subscription_from_datetime "
    "subscription_to_datetime charges_from_datetime charges_to_datetime fixed_charges_from_datetime "
    "fixed_charges_to_datetime invoicing_reason".split()
)

FEE = frozenset(
    "lago_id lago_charge_id lago_charge_filter_id lago_fixed_charge_id lago_invoice_id lago_true_up_fee_id "
    "lago_true_up_parent_fee_id lago_original_fee_id lago_subscription_id external_subscription_id "
    "lago_customer_id external_customer_id item pay_in_advance invoiceable amount_cents amount_currency "
    "precise_amount precise_total_amount taxes_amount_cents taxes_precise_amount taxes_rate "
    "total_aggregated_units total_amount_cents total_amount_currency units description precise_unit_amount "
    "precise_coupons_amount_cents sub_total_excluding_taxes_amount_cents "
    "sub_total_excluding_taxes_precise_amount_cents events_count payment_status created_at succeeded_at failed_at "
    "refunded_at amount_details self_billed pricing_unit_details presentation_breakdowns event_transaction_id "
    "applied_taxes from_date to_date".split()
)
FEE_ITEM = frozenset(
    "type code name description invoice_display_name filters filter_invoice_display_name lago_item_id item_type "
    "grouped_by".split()
)
FEE_TAX = frozenset(
    "lago_id lago_fee_id lago_tax_id tax_name tax_code tax_rate tax_description amount_cents amount_currency "
    "created_at".split()
)

CREDIT_NOTE = frozenset(
    "lago_id billing_entity_code sequential_id number lago_invoice_id invoice_number purchase_order_number "
    "issuing_date credit_status refund_status reason description currency total_amount_cents "
    "precise_total_amount_cents taxes_amount_cents precise_taxes_amount_cents "
    "sub_total_excluding_taxes_amount_cents balance_amount_cents credit_amount_cents refund_amount_cents "
    "offset_amount_cents coupons_adjustment_amount_cents taxes_rate created_at updated_at file_url xml_url "
    "self_billed metadata applied_taxes error_details items".split()
)
CREDIT_NOTE_IN_FULL = CREDIT_NOTE | {"customer"}
CREDIT_NOTE_ITEM = frozenset("lago_id amount_cents precise_amount_cents amount_currency fee".split())
CREDIT_NOTE_TAX = frozenset(
    "lago_id lago_credit_note_id lago_tax_id tax_name tax_code tax_rate tax_description base_amount_cents "
    "amount_cents amount_currency created_at".split()
)

OUR_ORGANIZATION_KEYS = frozenset({"late_event_policy"})
"""Settings of what Lago does not have."""
ORGANIZATION = OUR_ORGANIZATION_KEYS | frozenset(
    "lago_id name slug default_currency created_at webhook_url webhook_urls country address_line1 address_line2 "
    "state zipcode email city legal_name legal_number timezone net_payment_term email_settings "
    "document_numbering document_number_prefix tax_identification_number finalize_zero_amount_invoice "
    "billing_configuration events_store taxes".split()
)
ORGANIZATION_BILLING = frozenset("invoice_footer invoice_grace_period document_locale".split())
META = frozenset("current_page next_page prev_page total_pages total_count".split())
