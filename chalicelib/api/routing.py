"""Routers of this API, bound to the process's services and to the account check."""

from chalicelib import wiring
from chalicelib.platform.http.router import Router
from chalicelib.platform.http.serving import Security
from chalicelib.users.authentication import require_account

_SECURITY = Security(services=wiring.current, require_account=require_account)


def new_router(name: str, about: str = "") -> Router:
    return Router(name, _SECURITY, about)
