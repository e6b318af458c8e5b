"""Answers calls of Stripe's API: whose key it is, once for each idempotency key, and faults on request."""

import base64
import binascii
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from infra.local.stripe import shapes
from infra.local.stripe.account import Account
from infra.local.stripe.errors import Json, Refused, missing
from infra.local.stripe.parameters import Parameters
from infra.local.stripe.routes import Route, expand, route_of
from infra.local.stripe.switches import Fault, Switches

SECRET, PUBLISHABLE = "sk_test_", "pk_test_"
LONGEST_KEY = 255


@dataclass(frozen=True)
class Call:
    """A request as it came."""

    method: str
    path: str
    form: str
    """Its parameters, of the query or of the body."""
    headers: Mapping[str, str]

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def idempotency_key(self) -> str:
        return self.headers.get("Idempotency-Key", "") if self.method == "POST" else ""

    @property
    def fingerprint(self) -> str:
        return json.dumps([self.name, sorted(parse_qsl(self.form, keep_blank_values=True))])


@dataclass(frozen=True)
class Answer:
    """What is sent back."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class Api:
    """The API over an account; `stopping` ends what waits on purpose."""

    def __init__(
        self, account: Account, switches: Switches, api_key: str | None, stopping: threading.Event
    ) -> None:
        self._account = account
        self._switches = switches
        self._api_key = api_key
        self._stopping = stopping
        self._under_way: set[str] = set()

    def answer(self, call: Call) -> Answer | None:
        """Answer a call; None when the connection is to be closed instead."""
        with self._account.lock:
            fault = self._switches.take_fault(call.name)
        request_id = shapes.new_id("req", 14)
        try:
            if fault and not fault.after:
                raise _failure(fault)
            answer = self._once(call, request_id, fault)
        except Refused as refused:
            answer = _refusal(refused)
        if fault:
            self._stopping.wait(fault.seconds)
            if fault.kind == "reset":
                return None
        version = call.headers.get("Stripe-Version", shapes.API_VERSION)
        echoed = {"Request-Id": request_id, "Stripe-Version": version}
        if call.idempotency_key:
            echoed["Idempotency-Key"] = call.idempotency_key
        return Answer(answer.status, answer.body, answer.headers | echoed)

    def _once(self, call: Call, request_id: str, fault: Fault | None) -> Answer:
        """Do a call, or say again what was said to its idempotency key. Raises Refused."""
        route, identity = route_of(call.method, call.path)
        given = self._authenticated(call, route, identity)
        key = call.idempotency_key
        if not key:
            return self._do(call, route, given, identity, request_id, fault)
        if len(key) > LONGEST_KEY:
            raise Refused(400, f"Idempotency keys have up to {LONGEST_KEY} characters.")
        with self._account.lock:
            if (known := self._account.kept(key)) is not None:
                return _replay(call, *known)
            if key in self._under_way:
                raise Refused(
                    409,
                    "There is currently another in-progress request using this Idempotent Key (that probably "
                    "means you submitted twice, and the other request is still going through): "
                    f"{key}. Please try again later.",
                    code="idempotency_key_in_use",
                    kind="idempotency_error",
                )
            self._under_way.add(key)
        try:
            return self._do(call, route, given, identity, request_id, fault)
        finally:
            with self._account.lock:
                self._under_way.discard(key)

    def _do(
        self, call: Call, route: Route, given: Parameters, identity: str, request_id: str, fault: Fault | None
    ) -> Answer:
        """Do a call, and keep its answer for its idempotency key in the same transaction."""
        key = call.idempotency_key
        self._stopping.wait(self._switches.latency)
        with self._account.changing({"id": request_id, "idempotency_key": key or None}):
            began = True
            try:
                done = route.do(self._account, given, identity)
                expand(self._account, done, given.many("expand"))
                answer = Answer(200, _written(done))
            except Refused as refused:
                began = refused.began
                answer = _refusal(refused)
            if fault and fault.kind == "error":
                answer = _refusal(_failure(fault), {"Stripe-Should-Retry": "false"})
            if key and began:
                self._account.keep(key, call.fingerprint, answer.status, answer.body)
        return answer

    def _authenticated(self, call: Call, route: Route, identity: str) -> Parameters:
        """Return the parameters of a call that its key allows. Raises Refused."""
        key, given = _key_of(call.headers.get("Authorization", "")), Parameters.decode(call.form)
        known = route.known | {"expand"}
        if key.startswith(PUBLISHABLE):
            if not route.browser:
                text = "This API call cannot be made with a publishable API key. Please use a secret API key."
                raise Refused(401, text, code="secret_key_required")
            known |= {"client_secret"}
            intent = self._account.find(identity) or {}
            if given.required("client_secret") != intent.get("client_secret"):
                raise missing("payment_intent", identity, "intent")
        elif not key:
            raise Refused(
                401,
                "You did not provide an API key. You need to provide your API key in the Authorization "
                "header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
            )
        elif key != self._api_key if self._api_key else not key.startswith(SECRET):
            raise Refused(401, f"Invalid API Key provided: {key[:8]}****{key[-4:]}")
        given.allow(known)
        return given


def _key_of(authorization: str) -> str:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _replay(call: Call, request: str, status: int, body: bytes) -> Answer:
    if request != call.fingerprint:
        raise Refused(
            400,
            "Keys for idempotent requests can only be used with the same parameters they were first used "
            f"with. Try using a key other than '{call.idempotency_key}' if you meant to execute a different "
            "request.",
            kind="idempotency_error",
        )
    return Answer(status, body, {"Idempotent-Replayed": "true"})


def _failure(fault: Fault) -> Refused:
    if fault.kind == "limit":
        text = "Request rate limit exceeded. Learn more about rate limits here "
        return Refused(429, f"{text}https://docs.stripe.com/rate-limits.", code="rate_limit")
    return Refused(500, "An unknown error occurred", kind="api_error")


def _refusal(refused: Refused, headers: dict[str, str] | None = None) -> Answer:
    return Answer(refused.status, _written({"error": refused.error}), headers or {})


def _written(answer: Json) -> bytes:
    return json.dumps(answer).encode()
