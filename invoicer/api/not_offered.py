"""Routes of Lago's below a customer, a plan or a subscription that are not offered.

External ids and codes may hold `/`: without these routes `/customers/acme/wallets` would ask for the customer
`acme/wallets`, and whoever has the customer acme would be told that it does not exist. They are asked first, so an
id that ends like one of them cannot be asked for.
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


for part in ("alerts", "charges", "entitlements", "fixed_charges", "lifetime_usage"):
    for path in (part, f"{part}/{{rest:path}}"):
        router.add_api_route(
            f"/subscriptions/{{owner:path}}/{path}",
            refuse,
            methods=["GET", "PUT", "DELETE"],
            include_in_schema=False,
        )
