"""Stages: the values that differ between them, the parameters, and the conditions that follow."""

import dataclasses
from typing import Any

from chalicelib.platform.settings import Quota, Settings
from infra.aws import throttles
from infra.aws.template.cfn import Json, logical_name, of_stage, ref

STAGES = ("lean", "dev", "prod")
"""A small venue at the lowest price, a trial of everything that prod has, and a venue with rushes."""

_ALARM_SHARE = 0.8
"""Share of the database's connections that raises an alarm."""

# Each deployment sets these values, while a parameter keeps the value that the stack was created with.
# The throttles of requests come from `infra/aws/throttles.py`.
_STAGE_VALUES: dict[str, tuple[Any, ...]] = {
    "DatabaseClass": tuple(throttles.SERVERS[stage].instance_class for stage in STAGES),
    "Standby": ("no", "no", "yes"),
    "Proxy": ("no", "yes", "yes"),
    "Zones": (1, 2, 2),
    "NatGateways": ("no", "no", "yes"),
    "BackupDays": (7, 1, 14),
    "DeletionProtection": ("true", "false", "true"),
    "LogDays": (30, 14, 90),
    "ConnectionsAlarmThreshold": tuple(
        int(_ALARM_SHARE * throttles.SERVERS[stage].connections) for stage in STAGES
    ),
}

_PARAMETER_DEFAULTS: dict[str, tuple[str, ...]] = {
    "ReserveConcurrency": ("yes", "no", "yes"),
}
_YES_NO = ("yes", "no")

SHIFTS = {"gradual": "Canary10Percent10Minutes", "at-once": "AllAtOnce"}
"""How a new version gets calls: 10 % for 10 minutes, which is longer than the alarm takes, or all of them."""

LIMITS = {
    logical_name(field.name): field
    for field in dataclasses.fields(Settings)
    if isinstance(field.default, Quota)
}
"""The rate limits among the settings, by the names of their parameters."""


def mappings() -> Json:
    return {
        "Stages": {
            stage: {key: values[index] for key, values in _STAGE_VALUES.items()} | _throttles(stage)
            for index, stage in enumerate(STAGES)
        }
    }


def _throttles(stage: str) -> Json:
    rates = {f"{throttle.name}PerSecond": throttle.per_second(stage) for throttle in throttles.THROTTLES}
    return rates | {f"{throttle.name}Burst": throttle.burst(stage) for throttle in throttles.THROTTLES}


def parameters(stage: str) -> Json:
    index = STAGES.index(stage)
    defaults = {name: values[index] for name, values in _PARAMETER_DEFAULTS.items()}
    return {
        "Stage": _choice("Stage of the deployment", STAGES, stage),
        "AlarmAddress": _text("Email address for alarms; its owner must confirm the subscription"),
        "MailIdentity": _text("Domain or email address that SES sends from"),
        "MailSender": _text("Sender of emails, with name and address"),
        "MailReplyTo": _text("Where replies to emails go; empty for the sender", ""),
        "FrontEndUrl": _text("Home of the front end, which the API's pages link to", ""),
        "EventPageUrl": _text("The front end's page of an event, with {eventId}", ""),
        "BookingPageUrl": _text("The front end's page of a booking, with {bookingId}", ""),
        "PaymentPageUrl": _text("The front end's page for a payment, with {bookingId}", ""),
        "PublicUrl": _text("Public URL of the API, if DomainName is empty", ""),
        "DomainName": _text("Custom domain of the API", ""),
        "CertificateArn": _text("ACM certificate of DomainName, in the same region", ""),
        "StripeSecret": _text("ARN of the secret with Stripe's apiKey and webhookSecrets", ""),
        "StripeLivemode": _choice("Whether StripeSecret has a live key", ("on", "off"), "off"),
        "WalletSecret": _text("ARN of the secret with WALLET_CERTIFICATE, for passes of Apple Wallet", ""),
        "NatImage": {
            "Type": "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>",
            "Description": "Image of the NAT instance; not used in prod",
            "Default": "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64",
        },
        "ReserveConcurrency": _choice(
            "Whether to reserve the functions' concurrency; needs a quota of 1000, or 200 in lean",
            _YES_NO,
            defaults["ReserveConcurrency"],
        ),
        "VerifiedHostsOnly": _choice(
            "Whether hosts must verify their email address before they publish", ("on", "off"), "off"
        ),
        "VerifiedAttendeesOnly": _choice(
            "Whether attendees must verify their email address before they book", ("on", "off"), "off"
        ),
        "DefaultCurrency": _text("Currency of events that do not name one", "eur"),
        "FirewallLimit": {
            **_number("Requests of one client in 5 minutes that AWS WAF lets pass; 0 for no AWS WAF", 0),
            "MinValue": 0,
        },
        "Cdn": _choice("Whether a CDN serves anonymous reads, at the output CdnUrl", ("on", "off"), "off"),
        "RateLimits": _choice("Whether the rate limits below apply", ("on", "off"), "on"),
        **{name: _limit(field) for name, field in LIMITS.items()},
        "HoldSeconds": _number("How long a place is held for payment", 900),
        "MaxOpenHolds": _number("How many unpaid places one account can hold", 3),
        "HoldCooldownSeconds": _text(
            "Seconds until an event can be held again after an unpaid hold; 0 is none, empty is HoldSeconds",
            "",
        ),
        "PreviousJwtSecret": _choice(
            "Whether tokens signed with the previous secret are valid", ("accept", "refuse"), "refuse"
        ),
        "PreviousTicketSecret": _choice(
            "Whether tickets whose codes were made with the previous secret are valid",
            ("accept", "refuse"),
            "refuse",
        ),
        "Release": _text("Set by `make deploy`: the hash of package and parameters", "unreleased"),
        "Shift": _choice(
            "Set by `make deploy`: how calls move to new versions", tuple(SHIFTS.values()), SHIFTS["gradual"]
        ),
        "SecretsRotation": _text("Any new text makes the functions read the secrets again", "1"),
    }


def conditions() -> Json:
    return {
        "HasProxy": _stage_has("Proxy", "yes"),
        "HasNoProxy": _not({"Condition": "HasProxy"}),
        "HasStandby": _stage_has("Standby", "yes"),
        "HasSecondZone": _stage_has("Zones", 2),
        "HasNatGateways": {"Fn::And": [_stage_has("NatGateways", "yes"), {"Condition": "HasSecondZone"}]},
        "HasNatInstance": _not({"Condition": "HasNatGateways"}),
        "ReservesConcurrency": _is("ReserveConcurrency", "yes"),
        "HasCdn": _is("Cdn", "on"),
        "HasFirewall": _not(_is("FirewallLimit", "0")),
        "HasDomain": _not(_is("DomainName", "")),
        "HasStripe": _not(_is("StripeSecret", "")),
        "HasWallet": _not(_is("WalletSecret", "")),
        "AcceptsPreviousJwtSecret": _is("PreviousJwtSecret", "accept"),
        "AcceptsPreviousTicketSecret": _is("PreviousTicketSecret", "accept"),
    }


def _is(parameter: str, value: str) -> Json:
    return {"Fn::Equals": [ref(parameter), value]}


def _stage_has(key: str, value: Any) -> Json:
    return {"Fn::Equals": [of_stage(key), value]}


def _not(condition: Json) -> Json:
    return {"Fn::Not": [condition]}


def _text(description: str, default: str | None = None) -> Json:
    text = {"Type": "String", "Description": description}
    return text if default is None else {**text, "Default": default}


def _number(description: str, default: int) -> Json:
    return {"Type": "Number", "Description": description, "Default": default}


def _limit(field: dataclasses.Field[Any]) -> Json:
    description = f"Rate limit {field.name.upper()}: hits and seconds, see docs/abuse.md"
    return {**_text(description, str(field.default)), "AllowedPattern": "[1-9][0-9]*/[1-9][0-9]*"}


def _choice(description: str, values: tuple[str, ...], default: str) -> Json:
    return {**_text(description, default), "AllowedValues": list(values)}
