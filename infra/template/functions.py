"""The functions: limits, environment, roles and logs, added to what Chalice declares of them."""

from collections.abc import Iterable

from infra.functions import API, Function
from infra.template import database
from infra.template.messaging import FACTS_TOPIC, MAIL_EVENTS
from infra.template.network import subnets
from infra.template.words import (
    Json,
    allow,
    arn,
    assumed_by,
    att,
    logs_of,
    of_stage,
    policy,
    ref,
    resource,
    role_of,
    sub,
    when,
)

RUNTIME = "python3.13"


def functions(table: Iterable[Function]) -> Json:
    made: Json = {}
    for function in table:
        made |= {
            function.logical_name: {"Properties": _properties(function)},
            role_of(function): _role(function),
            logs_of(function): resource(
                "Logs::LogGroup",
                {
                    "LogGroupName": sub(f"/${{AWS::StackName}}/{function.name}"),
                    "RetentionInDays": of_stage("LogDays"),
                },
                UpdateReplacePolicy="Delete",
                DeletionPolicy="Delete",
            ),
        }
    return made


def environment(function: Function) -> Json:
    """Give a function its settings, and no secret that it has no use for."""
    made: Json = {
        "DATABASE_URL": database.url(),
        "DATABASE_POOL_SIZE": str(function.connections),
        "JWT_SECRET": sub("{{resolve:secretsmanager:${JwtSecret}:SecretString}}"),
        "JWT_SECRET_PREVIOUS": when(
            "AcceptsPreviousJwtSecret",
            sub("{{resolve:secretsmanager:${JwtSecret}:SecretString::AWSPREVIOUS}}"),
        ),
        # Nobody reads it. CloudFormation looks secrets up only where something else changes.
        "SECRETS_ROTATION": ref("SecretsRotation"),
    }
    if function.publishes:
        made["DOMAIN_EVENTS_TOPIC_ARN"] = ref(FACTS_TOPIC)
    if function.mails:
        made["MAIL_SENDER"] = ref("MailSender")
    if function.speaks_to_clients:
        made["PUBLIC_URL"] = public_url()
    if function.name == API:
        made["VERIFIED_HOSTS_ONLY"] = ref("VerifiedHostsOnly")
        made["DEFAULT_CURRENCY"] = ref("DefaultCurrency")
        made["HOLD_SECONDS"] = ref("HoldSeconds")
    if function.pays or function.listens_to_stripe:
        made["STRIPE_API_KEY"] = _of_stripe("apiKey")
    if function.listens_to_stripe:
        made["STRIPE_WEBHOOK_SECRETS"] = _of_stripe("webhookSecrets")
    return made


def public_url() -> Json:
    return when("HasDomain", sub("https://${DomainName}"), ref("PublicUrl"))


def jwt_secret() -> Json:
    return {
        "JwtSecret": resource(
            "SecretsManager::Secret",
            {
                "Description": "Signs tokens, and links to unsubscribe",
                "GenerateSecretString": {"PasswordLength": 64, "ExcludePunctuation": True},
            },
            UpdateReplacePolicy="Retain",
            DeletionPolicy="Retain",
        )
    }


def _of_stripe(key: str) -> Json:
    return when("HasStripe", sub(f"{{{{resolve:secretsmanager:${{StripeSecret}}:SecretString:{key}}}}}"))


def _properties(function: Function) -> Json:
    groups = ["FunctionsSecurityGroup", *(["CallingOutSecurityGroup"] if function.calls_out else [])]
    made: Json = {
        "Runtime": RUNTIME,
        "Architectures": ["arm64"],
        "MemorySize": function.memory,
        "Timeout": function.timeout,
        "ReservedConcurrentExecutions": when("ReservesConcurrency", function.at_once),
        "Environment": {"Variables": environment(function)},
        "Role": att(role_of(function)),
        "LoggingConfig": {"LogGroup": ref(logs_of(function))},
        "VpcConfig": {
            "SubnetIds": subnets("Private"),
            "SecurityGroupIds": [att(group, "GroupId") for group in groups],
        },
    }
    if function.queue:
        made["Events"] = {
            f"{function.logical_name}SqsEventSource": {
                "Properties": {
                    "FunctionResponseTypes": ["ReportBatchItemFailures"],
                    "ScalingConfig": {"MaximumConcurrency": function.at_once},
                }
            }
        }
    elif function.name != API and not function.routes:
        # The next call is a minute away, and does what this one did not.
        made["EventInvokeConfig"] = {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}
    return made


def _role(function: Function) -> Json:
    return resource(
        "IAM::Role",
        {
            "AssumeRolePolicyDocument": assumed_by("lambda"),
            "Policies": [
                {"PolicyName": "platform", "PolicyDocument": policy(*_for_lambda_itself(function))},
                *(
                    {"PolicyName": name, "PolicyDocument": policy(*statements)}
                    for name, statements in _reach(function)
                ),
            ],
        },
    )


def _for_lambda_itself(function: Function) -> Iterable[Json]:
    """Let Lambda write the log and traces, and connect the function to the network."""
    yield allow(["logs:CreateLogStream", "logs:PutLogEvents"], att(logs_of(function)))
    if function.queue:
        yield allow(
            ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
            arn("sqs", function.queue.name),
        )
    # AWS knows no resources for these.
    yield allow(
        [
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSubnets",
            "xray:PutTraceSegments",
            "xray:PutTelemetryRecords",
        ],
        "*",
    )
    changes = ["ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface"]
    changes += ["ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"]
    yield allow(
        changes, [arn("ec2", "network-interface/*"), arn("ec2", "subnet/*"), arn("ec2", "security-group/*")]
    )
    # What Lambda may do for the function, the function's own code may not.
    yield {
        "Effect": "Deny",
        "Action": [*changes, "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"],
        "Resource": "*",
        "Condition": {"ArnLike": {"lambda:SourceFunctionArn": arn("lambda", "function:*")}},
    }


def _reach(function: Function) -> Iterable[tuple[str, list[Json]]]:
    """Say what the function's own code calls."""
    if function.publishes:
        yield (
            "publish",
            [
                allow("sns:Publish", ref(FACTS_TOPIC)),
                allow(["kms:GenerateDataKey", "kms:Decrypt"], att("TopicsKey")),
            ],
        )
    if function.sends_to:
        queues = [arn("sqs", queue.name) for queue in function.sends_to]
        yield "send", [allow(["sqs:GetQueueUrl", "sqs:SendMessage"], queues)]
    if function.mails:
        sources = [
            arn("ses", "identity/${MailIdentity}"),
            arn("ses", f"configuration-set/${{{MAIL_EVENTS}}}"),
        ]
        yield "mail", [allow("ses:SendRawEmail", sources)]
