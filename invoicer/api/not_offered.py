"""Lists of Lago's below a customer or a plan that are not offered.

External ids and codes may hold `/`: without these routes `/customers/acme/wallets` would ask for the customer
`acme/wallets`, and whoever has the customer acme would be told that it does not exist.
"""

from invoicer.api.dependencies import CurrentOrganization
from invoicer.api.route import make_router
from schemas.errors import NotFound

router = make_router("not offered")


@router.get("/customers/{owner:path}/applied_coupons", include_in_schema=False)
@router.get("/customers/{owner:path}/payment_methods", include_in_schema=False)
@router.get("/customers/{owner:path}/payment_requests", include_in_schema=False)
@router.get("/customers/{owner:path}/payments", include_in_schema=False)
@router.get("/customers/{owner:path}/portal_url", include_in_schema=False)
@router.get("/customers/{owner:path}/wallets", include_in_schema=False)
@router.get("/plans/{owner:path}/entitlements", include_in_schema=False)
@router.get("/plans/{owner:path}/fixed_charges", include_in_schema=False)
def refuse(owner: str, _organization: CurrentOrganization) -> None:
    """Answered as any other route that there is not."""
    raise NotFound("resource")
