"""The functions: limits, environment, roles and logs, merged into what Chalice declares."""

from collections.abc import Iterable

from infra.aws.function_table import ALIAS, API, Function
from infra.aws.package import AUTHORITIES, LAMBDA_FOLDER
from infra.aws.template import database
from infra.aws.template.cfn import (
    Json,
    allow,
    arn,
    assumed_by,
    att,
    log_group,
    policy,
    ref,
    resource,
    sub,
    when,
)
from infra.aws.template.messaging import (
    DOMAIN_EVENTS_TOPIC,
    MAIL_EVENTS,
    dead_letter_queue_name,
    queue_name,
)
from infra.aws.template.network import private_subnets
from infra.aws.template.stages import LIMITS

RUNTIME = "python3.13"

ROLLBACK_ALARMS = ("ApiFaultsAlarm",)
"""The alarms that end a shift and roll the stack back."""

_INTERFACE_CHANGES = [
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
]
_INTERFACE_READS = ["ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"]


def resources(functions: Iterable[Function]) -> Json:
    result: Json = {
        "JwtSecret": _key("Signs tokens"),
        "LinkSecret": _key("Signs unsubscribe links and hashes whom rate limits count"),
        "TicketSecret": _key("Signs the codes of tickets"),
    }
    for function in functions:
        result |= {
            function.logical_name: {"Properties": _properties(function)},
            function.role: _role(function),
            function.log_group: log_group(function.name),
        }
    return result


def public_url() -> Json:
    return when("HasDomain", sub("https://${DomainName}"), ref("PublicUrl"))


def _key(purpose: str) -> Json:
    return resource(
        "SecretsManager::Secret",
        {
            "Description": purpose,
            "GenerateSecretString": {"PasswordLength": 64, "ExcludePunctuation": True},
        },
        removal_policy="Retain",
    )


def _environment(function: Function) -> Json:
    result: Json = {
        **_secrets(function),
        "DATABASE_CA_FILE": database.authorities(f"{LAMBDA_FOLDER}/{AUTHORITIES}"),
        "DATABASE_POOL_SIZE": when("HasProxy", str(function.pool_size), str(function.lean_pool_size)),
        # Not read by the code: CloudFormation resolves secrets again only if something else changes.
        "SECRETS_ROTATION": ref("SecretsRotation"),
    }
    if function.publishes:
        result["DOMAIN_EVENTS_TOPIC_ARN"] = ref(DOMAIN_EVENTS_TOPIC)
    if function.sends_email:
        result["MAIL_SENDER"] = ref("MailSender")
        result["MAIL_REPLY_TO"] = ref("MailReplyTo")
        result["EVENT_PAGE_URL"] = ref("EventPageUrl")
        result["BOOKING_PAGE_URL"] = ref("BookingPageUrl")
        result["PAYMENT_PAGE_URL"] = ref("PaymentPageUrl")
    if function.needs_public_url:
        result["PUBLIC_URL"] = public_url()
    if function.name == API:
        result["FRONT_END_URL"] = ref("FrontEndUrl")
        result["VERIFIED_HOSTS_ONLY"] = ref("VerifiedHostsOnly")
        result["VERIFIED_ATTENDEES_ONLY"] = ref("VerifiedAttendeesOnly")
        result["DEFAULT_CURRENCY"] = ref("DefaultCurrency")
        result["HOLD_SECONDS"] = ref("HoldSeconds")
        result["RATE_LIMITS"] = ref("RateLimits")
        result |= {field.name.upper(): ref(parameter) for parameter, field in LIMITS.items()}
        result["MAX_OPEN_HOLDS"] = ref("MaxOpenHolds")
        result["HOLD_COOLDOWN_SECONDS"] = ref("HoldCooldownSeconds")
    if function.makes_passes:
        result["WALLET_CERTIFICATE"] = when("HasWallet", ref("WalletSecret"))
    if function.calls_stripe or function.receives_webhooks:
        result["STRIPE_LIVEMODE"] = when("HasStripe", ref("StripeLivemode"))
    return result


def _secrets(function: Function) -> Json:
    """Return the settings with a secret, only those that the function uses."""
    result: Json = {"DATABASE_URL": database.app_url()}
    if function.migrates:
        result = {"DATABASE_URL": database.owner_url(), "APP_DATABASE_URL": database.app_url()}
    if function.uses_tokens:
        result |= _rotated_secret("JwtSecret", "JWT_SECRET")
    if function.uses_link_secret:
        result["LINK_SECRET"] = sub("{{resolve:secretsmanager:${LinkSecret}:SecretString}}")
    if function.uses_ticket_secret:
        result |= _rotated_secret("TicketSecret", "TICKET_SECRET")
    if function.calls_stripe:
        result["STRIPE_API_KEY"] = _stripe_secret("apiKey")
    if function.receives_webhooks:
        result["STRIPE_WEBHOOK_SECRETS"] = _stripe_secret("webhookSecrets")
    return result


def _rotated_secret(secret: str, setting: str) -> Json:
    """The setting with a secret, and the one with the former secret while a parameter accepts it."""
    return {
        setting: sub(f"{{{{resolve:secretsmanager:${{{secret}}}:SecretString}}}}"),
        f"{setting}_PREVIOUS": when(
            f"AcceptsPrevious{secret}",
            sub(f"{{{{resolve:secretsmanager:${{{secret}}}:SecretString::AWSPREVIOUS}}}}"),
        ),
    }


def _stripe_secret(key: str) -> Json:
    return when("HasStripe", sub(f"{{{{resolve:secretsmanager:${{StripeSecret}}:SecretString:{key}}}}}"))


def _properties(function: Function) -> Json:
    concurrency = when("HasProxy", function.concurrency, function.lean_concurrency)
    groups = ["FunctionsSecurityGroup", *(["EgressSecurityGroup"] if function.needs_egress else [])]
    result: Json = {
        "Runtime": RUNTIME,
        "Architectures": ["arm64"],
        "MemorySize": function.memory_mb,
        "Timeout": function.timeout,
        "ReservedConcurrentExecutions": when("ReservesConcurrency", concurrency),
        "Environment": {"Variables": _environment(function)},
        "Role": att(function.role),
        "LoggingConfig": {"LogGroup": ref(function.log_group)},
        "VpcConfig": {
            "SubnetIds": private_subnets(),
            "SecurityGroupIds": [att(group, "GroupId") for group in groups],
        },
    }
    if not function.is_called_directly:
        result |= {
            "AutoPublishAlias": ALIAS,
            # A new version for each release, also if only settings or secrets change. By default SAM compares
            # the code and the names of the parameters, so that a new secret would never be used.
            "AutoPublishCodeSha256": ref("Release"),
            "DeploymentPreference": {"Type": ref("Shift"), "Alarms": [ref(name) for name in ROLLBACK_ALARMS]},
        }
    if function.queue:
        result["Events"] = {
            f"{function.logical_name}SqsEventSource": {
                "Properties": {
                    # Not Fn::GetAtt, because the merge would add it to Chalice's own Fn::Sub.
                    "Queue": sub(f"${{{queue_name(function.queue)}.Arn}}"),
                    "FunctionResponseTypes": ["ReportBatchItemFailures"],
                    "ScalingConfig": {"MaximumConcurrency": concurrency},
                }
            }
        }
    elif function.name != API and not function.routes:
        # No retries: the next scheduled run picks up whatever a failed run left.
        result["EventInvokeConfig"] = {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}
    return result


def _role(function: Function) -> Json:
    policies = {"platform": list(_platform_statements(function)), **_app_statements(function)}
    return resource(
        "IAM::Role",
        {
            "AssumeRolePolicyDocument": assumed_by("lambda"),
            "Policies": [
                *(
                    {"PolicyName": name, "PolicyDocument": policy(*statements)}
                    for name, statements in policies.items()
                    if statements
                ),
                *([_wallet_policy()] if function.makes_passes else []),
            ],
        },
    )


def _wallet_policy() -> Json:
    """Let a function read the certificate of passes, which is too long for its environment."""
    statement = allow("secretsmanager:GetSecretValue", ref("WalletSecret"))
    return when("HasWallet", {"PolicyName": "wallet", "PolicyDocument": policy(statement)})


def _platform_statements(function: Function) -> Iterable[Json]:
    """Let Lambda write logs and traces, poll the queue, and connect the function to the network."""
    yield allow(["logs:CreateLogStream", "logs:PutLogEvents"], att(function.log_group))
    if function.queue:
        yield allow(
            ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
            att(queue_name(function.queue)),
        )
    # These actions do not support resource-level permissions.
    yield allow([*_INTERFACE_READS, "xray:PutTraceSegments", "xray:PutTelemetryRecords"], "*")
    yield allow(
        _INTERFACE_CHANGES,
        [arn("ec2", "network-interface/*"), arn("ec2", "subnet/*"), arn("ec2", "security-group/*")],
    )
    # Lambda itself needs the network actions; the function's code must not use them.
    yield {
        "Effect": "Deny",
        "Action": [*_INTERFACE_CHANGES, *_INTERFACE_READS],
        "Resource": "*",
        "Condition": {"ArnLike": {"lambda:SourceFunctionArn": arn("lambda", "function:*")}},
    }


def _app_statements(function: Function) -> dict[str, list[Json]]:
    """Allow what the function's code calls."""
    publish = [
        allow("sns:Publish", ref(DOMAIN_EVENTS_TOPIC)),
        allow(["kms:GenerateDataKey", "kms:Decrypt"], att("TopicsKey")),
    ]
    queues = [att(queue_name(queue)) for queue in function.queues]
    dead_letters = [att(dead_letter_queue_name(queue)) for queue in function.queues]
    redrive = ["sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:DeleteMessage"]
    sender = [arn("ses", "identity/${Sender}"), arn("ses", f"configuration-set/${{{MAIL_EVENTS}}}")]
    return {
        "publish": publish if function.publishes else [],
        "send": [allow(["sqs:GetQueueUrl", "sqs:SendMessage"], queues)] if queues else [],
        "redrive": [allow(redrive, dead_letters)] if function.operates else [],
        "mail": [allow("ses:SendRawEmail", sender)] if function.sends_email else [],
    }
