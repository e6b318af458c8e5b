"""What the stages differ in, what an operator chooses, and the conditions that follow."""

from typing import Any

from infra.template.words import Json, ref

STAGES: dict[str, dict[str, Any]] = {
    "dev": {
        "BackupDays": 1,
        "DeletionProtection": "false",
        "LogDays": 14,
        "ManyConnections": 60,
        "RequestsPerSecond": 50,
        "RequestsAtOnce": 100,
        "BookingsPerSecond": 50,
        "BookingsAtOnce": 50,
        "PaymentsPerSecond": 20,
        "PaymentsAtOnce": 20,
        "WebhooksPerSecond": 50,
        "WebhooksAtOnce": 50,
    },
    "prod": {
        "BackupDays": 14,
        "DeletionProtection": "true",
        "LogDays": 90,
        "ManyConnections": 600,
        "RequestsPerSecond": 1_000,
        "RequestsAtOnce": 1_000,
        "BookingsPerSecond": 1_000,
        "BookingsAtOnce": 400,
        "PaymentsPerSecond": 100,
        "PaymentsAtOnce": 100,
        "WebhooksPerSecond": 400,
        "WebhooksAtOnce": 100,
    },
}
"""These follow the template: a deployment changes them. What a parameter has, a stack keeps.

A db.t4g.micro takes some 80 connections and a db.m7g.large some 900, of which the proxy opens nine tenths.
Requests and bookings: what two cores of a database do at both limits, where places cost nothing; no more
bookings at once than functions may run, nor webhooks. Payments: what Stripe takes, 100 a second, or 25 in a
sandbox. The arithmetic is in docs/scale.md.
"""

DEFAULTS: dict[str, dict[str, str]] = {
    "dev": {
        "DatabaseClass": "db.t4g.micro",
        "StandbyDatabase": "no",
        "Egress": "nat-instance",
        "ReserveConcurrency": "no",
    },
    "prod": {
        "DatabaseClass": "db.m7g.large",
        "StandbyDatabase": "yes",
        "Egress": "nat-gateway-per-zone",
        "ReserveConcurrency": "yes",
    },
}
"""What a parameter is for a stack that was not told."""


def parameters(stage: str) -> Json:
    defaults = DEFAULTS[stage]
    return {
        "Stage": _choice("Its constants are in the mapping Stages", stage, list(STAGES)),
        "AlarmAddress": _text("An e-mail address that alarms go to; it has to confirm"),
        "MailIdentity": _text("The domain, or the single address, that SES sends from"),
        "MailSender": _text("From whom e-mails are: Event booking <no-reply@example.com>"),
        "PublicUrl": _text("Where clients reach the API, if DomainName is not used", ""),
        "DomainName": _text("A domain of its own for the API", ""),
        "CertificateArn": _text("ACM certificate of DomainName, of this region", ""),
        "StripeSecret": _text("ARN of the secret with Stripe's apiKey and webhookSecrets", ""),
        "DatabaseKind": _choice("What runs PostgreSQL", "instance", ["instance", "aurora-serverless"]),
        "DatabaseClass": _text("Instance class; not for Aurora", defaults["DatabaseClass"]),
        "DatabaseGigabytes": _number("Storage to begin with; not for Aurora", 20),
        "DatabaseUnits": _number("Aurora's most capacity units, of 2 GiB each", 8),
        "StandbyDatabase": _yes_or_no("A second database in another zone", defaults["StandbyDatabase"]),
        "Egress": _choice(
            "The way out of the private network",
            defaults["Egress"],
            ["nat-instance", "nat-gateway", "nat-gateway-per-zone"],
        ),
        "NatImage": {
            "Type": "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>",
            "Description": "System of the NAT instance",
            "Default": "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64",
        },
        "ReserveConcurrency": _yes_or_no(
            "Whether the functions' limits are reserved; needs an account that may run 1 000 at once",
            defaults["ReserveConcurrency"],
        ),
        "VerifiedHostsOnly": _choice("Whether hosts must verify their address", "off", ["on", "off"]),
        "DefaultCurrency": _text("Currency of events that name none", "eur"),
        "HoldSeconds": _number("How long a place is held until it is paid", 900),
        "PreviousJwtSecret": _choice(
            "Whether tokens of the secret before are accepted", "refuse", ["accept", "refuse"]
        ),
        "SecretsRotation": _text("Any other text makes the functions get the secrets anew", "1"),
    }


def mappings() -> Json:
    return {"Stages": STAGES}


def conditions() -> Json:
    return {
        "HasAurora": _is("DatabaseKind", "aurora-serverless"),
        "HasInstance": {"Fn::Not": [{"Condition": "HasAurora"}]},
        "HasStandby": _is("StandbyDatabase", "yes"),
        "HasAuroraStandby": {"Fn::And": [{"Condition": "HasAurora"}, {"Condition": "HasStandby"}]},
        "HasNatInstance": _is("Egress", "nat-instance"),
        "HasNatGateway": {"Fn::Not": [{"Condition": "HasNatInstance"}]},
        "HasNatGatewayPerZone": _is("Egress", "nat-gateway-per-zone"),
        "ReservesConcurrency": _is("ReserveConcurrency", "yes"),
        "HasDomain": {"Fn::Not": [_is("DomainName", "")]},
        "HasStripe": {"Fn::Not": [_is("StripeSecret", "")]},
        "AcceptsPreviousJwtSecret": _is("PreviousJwtSecret", "accept"),
    }


def _is(parameter: str, value: str) -> Json:
    return {"Fn::Equals": [ref(parameter), value]}


def _text(description: str, default: str | None = None) -> Json:
    text = {"Type": "String", "Description": description}
    return text if default is None else {**text, "Default": default}


def _number(description: str, default: int) -> Json:
    return {"Type": "Number", "Description": description, "Default": default}


def _choice(description: str, default: str, values: list[str]) -> Json:
    return {**_text(description, default), "AllowedValues": values}


def _yes_or_no(description: str, default: str) -> Json:
    return _choice(description, default, ["yes", "no"])
