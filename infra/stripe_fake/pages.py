"""The pages: a form to pay, and a dashboard with payments and webhooks. They work without JavaScript."""

from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from msgspec import MsgspecError
from werkzeug.exceptions import BadRequest, Forbidden, NotFound
from werkzeug.routing import Map, Rule
from werkzeug.utils import redirect
from werkzeug.wrappers import Request, Response

from infra.stripe_fake.currencies import format_amount
from infra.stripe_fake.errors import ApiError, Json
from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.parameters import Parameters
from infra.stripe_fake.payment_intents import page_path
from infra.stripe_fake.test_cards import METHODS

MAX_ROWS = 50
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    # With no-referrer, browsers would send forms of these pages with `Origin: null`.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")), autoescape=True, undefined=StrictUndefined
)
_templates.filters["money"] = format_amount
_templates.filters["time"] = lambda time: datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S")


class Pages:
    """Responds to all requests that are not calls of the API."""

    def __init__(self, fake: StripeFake) -> None:
        self._fake = fake

    def respond(self, request: Request) -> Response:
        own_origin = f"http://{request.host}"
        if request.headers.get("Origin", own_origin) != own_origin:
            raise Forbidden("This form comes from another site.")
        method, values = _URLS.bind("").match(request.path, request.method)
        try:
            response: Response = method(self, request, **values)
        except ApiError as error:
            response = _page("error.html", error.status, message=str(error))
        response.headers.extend(HEADERS)
        return response

    def dashboard(self, _: Request) -> Response:
        return _page(
            "dashboard.html",
            rows=[self._row(intent) for intent in self._fake.intents(MAX_ROWS)],
            deliveries=self._fake.deliveries()[:MAX_ROWS],
            waiting=len(self._fake.waiting()),
            faults=self._fake.faults.as_json(),
        )

    def _row(self, intent: Json) -> Json:
        paid = intent["status"] == "succeeded"
        disputes = self._fake.disputes(intent["id"])
        return {
            "intent": intent,
            "charge": self._fake.charge(intent["id"]) if paid else None,
            "dispute": disputes[0]["status"] if disputes else None,
            "pay_path": page_path("pay", intent),
        }

    def act(self, request: Request, intent: str, action: str) -> Response:
        """Do what a button of the dashboard says."""
        if action == "refund":
            amount = Parameters(request.form, {"amount"}).integer("amount")
            self._fake.refund(intent, amount)
        elif action == "cancel":
            self._fake.cancel(intent)
        elif action == "dispute":
            self._fake.dispute(intent)
        elif action in {"settle", "fail"}:
            self._fake.settle(intent, succeed=action == "settle")
        elif action in {"win-dispute", "lose-dispute"}:
            for dispute in self._fake.disputes(intent):
                self._fake.settle_dispute(dispute["id"], won=action == "win-dispute")
        else:
            raise NotFound
        return _see_other("/")

    def deliver(self, _: Request, event: str) -> Response:
        self._fake.deliver(event)
        return _see_other("/")

    def faults(self, request: Request) -> Response:
        if request.method == "POST":
            try:
                self._fake.faults.change(request.get_data())
            except MsgspecError as error:
                raise BadRequest(str(error)) from error
        return Response(self._fake.faults.as_json() + "\n", mimetype="application/json")

    def show_payment(self, request: Request, intent: str) -> Response:
        return self._form(self._intent(intent, request.args), HTTPStatus.OK)

    def pay(self, request: Request, intent: str) -> Response:
        found = self._intent(intent, request.form)
        try:
            found = self._fake.confirm(intent, request.form.get("method") or request.form.get("number", ""))
        except ApiError as error:
            if "payment_intent" not in error.error:  # the intent does not record this error
                return self._form(found, error.status, str(error))
        page = "three-d-secure" if found["status"] == "requires_action" else "pay"
        return _see_other(page_path(page, found))

    def show_three_d_secure(self, request: Request, intent: str) -> Response:
        found = self._intent(intent, request.args)
        if found["status"] != "requires_action":
            return _see_other(page_path("pay", found))
        return _page("three-d-secure.html", intent=found)

    def three_d_secure(self, request: Request, intent: str) -> Response:
        found = self._intent(intent, request.form)
        self._fake.authenticate(intent, passed=request.form.get("outcome") == "complete")
        return _see_other(page_path("pay", found))

    def _intent(self, intent: str, form: Any) -> Json:
        """Return a PaymentIntent. Raise ApiError unless the client secret is right."""
        found = self._fake.intent(intent)
        if form.get("client_secret") != found["client_secret"]:
            raise ApiError(403, "The client secret in the address does not belong to this payment.")
        return found

    def _form(self, intent: Json, status: int, error: str | None = None) -> Response:
        if error is None and intent["last_payment_error"]:
            error = intent["last_payment_error"]["message"]
        path = page_path("three-d-secure", intent)
        return _page("pay.html", status, intent=intent, methods=METHODS, error=error, confirm_path=path)


_URLS = Map(
    [
        Rule("/", endpoint=Pages.dashboard, methods=["GET"]),
        Rule("/payments/<intent>/<action>", endpoint=Pages.act, methods=["POST"]),
        Rule("/events/<event>/deliver", endpoint=Pages.deliver, methods=["POST"]),
        Rule("/faults", endpoint=Pages.faults, methods=["GET", "POST"]),
        Rule("/pay/<intent>", endpoint=Pages.show_payment, methods=["GET"]),
        Rule("/pay/<intent>", endpoint=Pages.pay, methods=["POST"]),
        Rule("/three-d-secure/<intent>", endpoint=Pages.show_three_d_secure, methods=["GET"]),
        Rule("/three-d-secure/<intent>", endpoint=Pages.three_d_secure, methods=["POST"]),
    ]
)


def _page(template: str, status: int = HTTPStatus.OK, **context: Any) -> Response:
    return Response(_templates.get_template(template).render(context), status, mimetype="text/html")


def _see_other(path: str) -> Response:
    return redirect(path, HTTPStatus.SEE_OTHER, Response)
