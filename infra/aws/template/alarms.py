"""Alarms. Urgent ones wake someone, notices wait for the morning: each severity has a topic of its own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from chalice.app import Chalice, ScheduledEventConfig

from chalicelib.platform.messaging import queues
from chalicelib.platform.messaging.outbox import AGE_METRICS
from chalicelib.platform.observability import metrics
from infra.aws.template import cfn
from infra.aws.template.cfn import Json, att, of_stage, ref, resource, sub
from infra.aws.template.logs import ERROR_LINES
from infra.aws.template.messaging import dead_letter_queue_name, queue_name

RUNBOOK = "docs/runbook.md"

Severity = Literal["urgent", "notice"]
TOPICS: dict[Severity, str] = {"urgent": "UrgentAlarms", "notice": "NoticeAlarms"}

_MINUTE, _HOUR = 60, 3600
_MAX_OUTBOX_AGE_SECONDS = 60
_MAX_OUTAGE_MINUTES = 10
_MAX_5XX_SHARE = 0.01
_MAX_LATENCY_MS = 2_000
_MAX_STRIPE_FAILURE_SHARE = 0.5
_MAX_ERROR_LINES_PER_HOUR = 5
_MAX_WEBHOOKS_LOST_PER_HOUR = 2
_MAX_BOUNCE_RATE, _MAX_COMPLAINT_RATE = 0.05, 0.001
"""SES reviews an account from these rates on, and pauses it at 0.1 and 0.005."""
_MAX_CPU_PERCENT = 80
_MAX_PINNED_CONNECTIONS = 5
_MIN_FREE_STORAGE_BYTES = 2 * 10**9


@dataclass(frozen=True, kw_only=True)
class _Alarm:
    """An alarm for a value that stays above (or below) a threshold for some periods."""

    severity: Severity
    meaning: str
    value: Json
    """The properties of a metric, or of a calculation with metrics."""
    above: float | Json | None = None
    below: float | None = None
    period: int = _MINUTE
    """In seconds."""
    periods: int = 5
    missing: Literal["notBreaching", "breaching", "ignore"] = "notBreaching"
    condition: str | None = None


def resources(app: Chalice) -> Json:
    result: Json = {}
    for severity, topic in TOPICS.items():
        result[topic] = resource(
            "SNS::Topic",
            {
                "DisplayName": sub(f"${{AWS::StackName}} {severity}"),
                "KmsMasterKeyId": ref("TopicsKey"),
            },
        )
        result[f"{topic}Subscription"] = resource(
            "SNS::Subscription",
            {"TopicArn": ref(topic), "Protocol": "email", "Endpoint": ref("AlarmAddress")},
        )
    alarms = {**_requests(), **_schedules(app), **_messages(), **_payments(), **_infrastructure()}
    for name, alarm in alarms.items():
        result[f"{name}Alarm"] = _declare(name, alarm)
    return result


def outputs() -> Json:
    return {
        "UrgentAlarmsTopic": {
            "Description": "Topic of the alarms that wake someone, for a pager to subscribe to",
            "Value": ref(TOPICS["urgent"]),
        }
    }


def kebab_case(name: str) -> str:
    """Return the name of an alarm in messages, which is also that of its section in the runbook."""
    return re.sub("(?<!^)(?=[A-Z])", "-", name).lower()


def _declare(name: str, alarm: _Alarm) -> Json:
    topic = ref(TOPICS[alarm.severity])
    single = {} if "Metrics" in alarm.value else {"Period": alarm.period}
    declared = resource(
        "CloudWatch::Alarm",
        {
            "AlarmName": sub(f"${{AWS::StackName}}-{kebab_case(name)}"),
            "AlarmDescription": f"{alarm.meaning} See {RUNBOOK}#{kebab_case(name)}",
            **alarm.value,
            **single,
            "EvaluationPeriods": alarm.periods,
            "Threshold": alarm.above if alarm.below is None else alarm.below,
            "ComparisonOperator": "GreaterThanThreshold" if alarm.below is None else "LessThanThreshold",
            "TreatMissingData": alarm.missing,
            "AlarmActions": [topic],
            "OKActions": [topic],
        },
    )
    return {**declared, "Condition": alarm.condition} if alarm.condition else declared


def _metric(namespace: str, name: str, statistic: str = "Maximum", **dimensions: Json) -> Json:
    """Name a metric. CloudWatch calls percentiles, such as p99, extended statistics."""
    kind = "ExtendedStatistic" if statistic.startswith("p") else "Statistic"
    return {
        "Namespace": namespace,
        "MetricName": name,
        kind: statistic,
        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
    }


def _own(name: str, statistic: str = "Sum") -> Json:
    return _metric(metrics.NAMESPACE, name, statistic)


def _calculation(parts: Mapping[str, Json], expression: str, *, period: int = _MINUTE, **steps: str) -> Json:
    """Calculate with at most ten metrics. `steps` are expressions that `expression` uses."""
    queries: list[dict[str, Any]] = [
        {
            "Id": name,
            "ReturnData": False,
            "MetricStat": {
                "Metric": {key: metric[key] for key in ("Namespace", "MetricName", "Dimensions")},
                "Period": period,
                "Stat": metric["Statistic"],
            },
        }
        for name, metric in parts.items()
    ]
    for name, step in steps.items():
        queries.append({"Id": name, "ReturnData": False, "Expression": step})
    return {"Metrics": [{"Id": "result", "ReturnData": True, "Expression": expression}, *queries]}


def _numbered(name: str, listed: list[Json]) -> dict[str, Json]:
    return {f"{name}{index}": metric for index, metric in enumerate(listed)}


def _requests() -> dict[str, _Alarm]:
    def metric(name: str, statistic: str) -> Json:
        return _metric("AWS/ApiGateway", name, statistic, ApiName=ref("AWS::StackName"))

    return {
        "ApiFaults": _Alarm(
            severity="urgent",
            meaning=f"More than {_MAX_5XX_SHARE:.0%} of requests fail with a 5xx status.",
            value=metric("5XXError", "Average"),
            above=_MAX_5XX_SHARE,
        ),
        "ApiLatency": _Alarm(
            severity="notice",
            meaning=f"1 % of requests take longer than {_MAX_LATENCY_MS} ms.",
            value=metric("Latency", "p99"),
            above=_MAX_LATENCY_MS,
        ),
        "ErrorLines": _Alarm(
            severity="notice",
            meaning=f"The logs got more than {_MAX_ERROR_LINES_PER_HOUR} error lines in an hour.",
            value=_own(ERROR_LINES),
            above=_MAX_ERROR_LINES_PER_HOUR,
            period=_HOUR,
            periods=1,
        ),
    }


def _schedules(app: Chalice) -> dict[str, _Alarm]:
    return {
        "SchedulesStopped": _Alarm(
            severity="urgent",
            meaning="A function on a schedule has not finished a run for five minutes.",
            value=_finished_runs(app, "rate(1 minute)", period=5 * _MINUTE),
            below=1,
            period=5 * _MINUTE,
            periods=1,
            missing="breaching",
        ),
        "PurgeStopped": _Alarm(
            severity="notice",
            meaning="purge_expired has not finished a run for three hours.",
            value=_finished_runs(app, "rate(1 hour)", period=_HOUR),
            below=1,
            period=_HOUR,
            periods=3,
            missing="breaching",
        ),
    }


def _finished_runs(app: Chalice, rate: str, *, period: int) -> Json:
    """Count the runs that did not fail, of the function that has the fewest."""
    names = [
        cfn.logical_name(source.name)
        for source in app.event_sources
        if isinstance(source, ScheduledEventConfig) and _rate(source) == rate
    ]

    def each(metric: str) -> list[Json]:
        return [_metric("AWS/Lambda", metric, "Sum", FunctionName=ref(name)) for name in names]

    finished = {
        f"finished{index}": f"FILL(started{index}, 0) - FILL(failed{index}, 0)" for index in range(len(names))
    }
    return _calculation(
        _numbered("started", each("Invocations")) | _numbered("failed", each("Errors")),
        f"MIN([{', '.join(finished)}])",
        period=period,
        **finished,
    )


def _rate(source: ScheduledEventConfig) -> str:
    expression = source.schedule_expression
    return expression if isinstance(expression, str) else expression.to_string()


def _messages() -> dict[str, _Alarm]:
    lanes = {name[0].lower() + name[1:]: _own(name, "Maximum") for name in AGE_METRICS.values()}

    def each(metric: str, target: Any) -> dict[str, Json]:
        listed = [
            _metric("AWS/SQS", metric, QueueName=att(target(queue), "QueueName")) for queue in queues.QUEUES
        ]
        return _numbered("queue", listed)

    ages = each("ApproximateAgeOfOldestMessage", queue_name)
    dead_letters = each("ApproximateNumberOfMessagesVisible", dead_letter_queue_name)
    rates = {
        "bounces": _metric("AWS/SES", "Reputation.BounceRate"),
        "complaints": _metric("AWS/SES", "Reputation.ComplaintRate"),
    }
    return {
        "OutboxAge": _Alarm(
            severity="urgent",
            meaning=f"A domain event waits for more than {_MAX_OUTBOX_AGE_SECONDS} seconds, or relay_outbox "
            "does not run.",
            value=_calculation(lanes, f"MAX([{', '.join(lanes)}])"),
            above=_MAX_OUTBOX_AGE_SECONDS,
            missing="breaching",
        ),
        "QueueAge": _Alarm(
            severity="urgent",
            meaning="Messages wait too long in a queue: its function is too slow or fails.",
            value=_calculation(ages, f"MAX([{', '.join(ages)}])"),
            # A message that failed once waits for one visibility timeout and may then succeed.
            above=2 * max(queue.visibility for queue in queues.QUEUES),
        ),
        "MessagesPutBack": _Alarm(
            severity="urgent",
            meaning=f"Functions on queues have met an outage for {_MAX_OUTAGE_MINUTES} minutes.",
            value=_own("MessagesPutBack"),
            above=0,
            periods=_MAX_OUTAGE_MINUTES,
        ),
        "DeadLetters": _Alarm(
            severity="notice",
            meaning="Messages have failed at each attempt.",
            value=_calculation(dead_letters, f"MAX([{', '.join(dead_letters)}])"),
            above=0,
            periods=1,
        ),
        "EmailReputation": _Alarm(
            severity="notice",
            meaning=f"More than {_MAX_BOUNCE_RATE:.0%} of e-mails bounce, or more than "
            f"{_MAX_COMPLAINT_RATE:.1%} are reported as spam.",
            value=_calculation(
                rates,
                "MAX([bounced, complained])",
                period=_HOUR,
                bounced=f"bounces / {_MAX_BOUNCE_RATE}",
                complained=f"complaints / {_MAX_COMPLAINT_RATE}",
            ),
            above=1,
            period=_HOUR,
            periods=1,
            missing="ignore",
        ),
    }


def _payments() -> dict[str, _Alarm]:
    lost = {"refused": _own("WebhooksRefused"), "reconciled": _own("PaymentsReconciled")}
    return {
        "StripeFailures": _Alarm(
            severity="urgent",
            meaning=f"More than {_MAX_STRIPE_FAILURE_SHARE:.0%} of calls to Stripe fail.",
            value=_own("StripeFailures", "Average"),
            above=_MAX_STRIPE_FAILURE_SHARE,
            condition="HasStripe",
        ),
        "WebhooksLost": _Alarm(
            severity="notice",
            meaning="Webhooks of Stripe were refused, or payments were found without their webhook.",
            value=_calculation(lost, "FILL(refused, 0) + FILL(reconciled, 0)", period=_HOUR),
            above=_MAX_WEBHOOKS_LOST_PER_HOUR,
            period=_HOUR,
            periods=1,
            condition="HasStripe",
        ),
        "PaymentsFlagged": _Alarm(
            severity="notice",
            meaning="A payment needs manual handling.",
            value=_own("PaymentsFlagged"),
            above=0,
            periods=1,
        ),
    }


def _infrastructure() -> dict[str, _Alarm]:
    def metric(name: str) -> Json:
        return _metric("AWS/RDS", name, "Average", DBInstanceIdentifier=ref("Database"))

    return {
        "DatabaseProcessor": _Alarm(
            severity="notice",
            meaning=f"The database uses more than {_MAX_CPU_PERCENT} % of its CPU.",
            value=metric("CPUUtilization"),
            above=_MAX_CPU_PERCENT,
            periods=10,
        ),
        "DatabaseConnections": _Alarm(
            severity="notice",
            meaning="The database is close to its connection limit.",
            value=metric("DatabaseConnections"),
            above=of_stage("ConnectionsAlarmThreshold"),
        ),
        "DatabaseStorage": _Alarm(
            severity="urgent",
            meaning=f"The database has less than {_MIN_FREE_STORAGE_BYTES // 10**9} GB of free storage.",
            value=_metric("AWS/RDS", "FreeStorageSpace", "Minimum", DBInstanceIdentifier=ref("Database")),
            below=_MIN_FREE_STORAGE_BYTES,
        ),
        "ProxyPinned": _Alarm(
            severity="notice",
            meaning=f"RDS Proxy has pinned more than {_MAX_PINNED_CONNECTIONS} connections, which it cannot "
            "share.",
            value=_metric(
                "AWS/RDS", "DatabaseConnectionsCurrentlySessionPinned", ProxyName=ref("DatabaseProxy")
            ),
            above=_MAX_PINNED_CONNECTIONS,
            condition="HasProxy",
        ),
        "NatInstance": _Alarm(
            severity="urgent",
            meaning="The NAT instance does not work, so nothing reaches Stripe, SQS, SNS and SES.",
            value=_metric("AWS/EC2", "StatusCheckFailed", InstanceId=ref("NatInstance")),
            above=0,
            missing="breaching",
            condition="HasNatInstance",
        ),
    }
