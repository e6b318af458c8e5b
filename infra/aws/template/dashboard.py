"""The CloudWatch dashboard."""

import json
from collections.abc import Iterable
from typing import Any

from chalicelib.platform.messaging import queues
from chalicelib.platform.messaging.outbox import AGE_METRICS
from chalicelib.platform.observability import metrics
from infra.aws.function_table import Function
from infra.aws.template.cfn import Json, att, ref, resource, sub, when
from infra.aws.template.logs import ERROR_LINES, RECENT_ERRORS, REQUESTS_THROTTLED
from infra.aws.template.messaging import dead_letter_queue_name, queue_name

_WIDTH, _HEIGHT = 12, 6
"""Size of a widget; a dashboard is 24 units wide."""
_PERIOD_SECONDS = 60

_Widget = tuple[str, str, list[list[Any]]]
"""A title, a statistic and metrics."""


def resources(functions: Iterable[Function]) -> Json:
    values: Json = {
        "ProxyName": when("HasProxy", ref("DatabaseProxy"), "none"),
    }
    for queue in queues.QUEUES:
        for name in (queue_name(queue), dead_letter_queue_name(queue)):
            values[f"{name}Name"] = att(name, "QueueName")
    functions = list(functions)
    widgets = [*_api(), *_application(), *_database(), *_functions(functions), *_queues()]
    placed = [_widget(index, *widget) for index, widget in enumerate(widgets)]
    body = {"widgets": [*placed, _errors(len(placed), functions)]}
    return {
        "Dashboard": resource(
            "CloudWatch::Dashboard",
            {
                "DashboardName": sub("${AWS::StackName}"),
                "DashboardBody": sub(json.dumps(body, separators=(",", ":")), **values),
            },
        )
    }


def _widget(index: int, title: str, statistic: str, lines: list[list[Any]]) -> Json:
    return {
        "type": "metric",
        "width": _WIDTH,
        "height": _HEIGHT,
        "x": _WIDTH * (index % 2),
        "y": _HEIGHT * (index // 2),
        "properties": {
            "title": title,
            "region": "${AWS::Region}",
            "stat": statistic,
            "period": _PERIOD_SECONDS,
            "metrics": lines,
        },
    }


def _errors(index: int, functions: list[Function]) -> Json:
    """List the last error lines, below all other widgets."""
    sources = " | ".join(f"SOURCE '${{{function.log_group}}}'" for function in functions)
    return {
        "type": "log",
        "width": 2 * _WIDTH,
        "height": _HEIGHT,
        "x": 0,
        "y": _HEIGHT * ((index + 1) // 2),
        "properties": {
            "title": "Recent errors",
            "region": "${AWS::Region}",
            "view": "table",
            "query": f"{sources} | {RECENT_ERRORS}",
        },
    }


def _api() -> Iterable[_Widget]:
    api = ["ApiName", "${AWS::StackName}"]
    yield "Requests", "Sum", [["AWS/ApiGateway", name, *api] for name in ("Count", "4XXError", "5XXError")]
    yield "API latency (ms)", "p99", _by_percentile("AWS/ApiGateway", "Latency", *api)
    yield "Error lines in the logs", "Sum", [[metrics.NAMESPACE, ERROR_LINES]]
    yield (
        "Requests refused by limits (429)",
        "Sum",
        [_by("limit", "RateLimited", "Sum"), [metrics.NAMESPACE, REQUESTS_THROTTLED]],
    )


def _application() -> Iterable[_Widget]:
    yield (
        "Age of the oldest domain event in the outbox, by lane (s)",
        "Maximum",
        _own(*AGE_METRICS.values()),
    )
    yield (
        "Domain events published, messages put back",
        "Sum",
        _own("DomainEventsPublished", "MessagesPutBack"),
    )
    yield "Bookings by outcome", "Sum", [_by("outcome", "Bookings", "SampleCount")]
    yield "Booking procedure, p99 (ms)", "p99", [_by("outcome", "BookingLatency", "p99")]
    yield (
        "Calls to Stripe, failures",
        "Sum",
        [
            [metrics.NAMESPACE, "StripeLatency", {"stat": "SampleCount", "label": "Calls"}],
            [metrics.NAMESPACE, "StripeFailures"],
        ],
    )
    yield "Stripe's latency (ms)", "p99", _by_percentile(metrics.NAMESPACE, "StripeLatency")
    yield "Stripe events by outcome", "Sum", [_by("outcome", "WebhookEvents", "Sum")]
    yield (
        "Webhooks refused and missed, payments reconciled",
        "Sum",
        _own("WebhooksRefused", "WebhooksMissed", "PaymentsReconciled"),
    )
    yield "Refunds by outcome", "Sum", [_by("outcome", "Refunds", "Sum")]
    yield (
        "Holds ended, emails sent, payments flagged",
        "Sum",
        _own("HoldsExpired", "EmailsSent", "PaymentsFlagged"),
    )
    yield (
        "E-mails that bounce or are reported as spam (share)",
        "Maximum",
        [["AWS/SES", f"Reputation.{rate}Rate"] for rate in ("Bounce", "Complaint")],
    )


def _database() -> Iterable[_Widget]:
    server = ["DBInstanceIdentifier", "${Database}"]
    proxy = ["ProxyName", "${ProxyName}"]
    yield "Database CPU (%)", "Average", [["AWS/RDS", "CPUUtilization", *server]]
    yield (
        "Database connections",
        "Maximum",
        [
            ["AWS/RDS", "DatabaseConnections", *server],
            ["AWS/RDS", "ClientConnections", *proxy],
            ["AWS/RDS", "DatabaseConnectionsCurrentlySessionPinned", *proxy],
        ],
    )


def _own(*names: str) -> list[list[Any]]:
    return [[metrics.NAMESPACE, name] for name in names]


def _by_percentile(*metric: str) -> list[list[Any]]:
    return [[*metric, {"stat": statistic}] for statistic in ("p50", "p90", "p99")]


def _by(dimension: str, name: str, statistic: str) -> list[Any]:
    """Return one line per value of a dimension that was measured."""
    search = f'{{{metrics.NAMESPACE},{dimension}}} MetricName="{name}"'
    return [{"expression": f"SEARCH('{search}', '{statistic}', {_PERIOD_SECONDS})"}]


def _functions(functions: list[Function]) -> Iterable[_Widget]:
    for title, name, statistic in (
        ("Function calls", "Invocations", "Sum"),
        ("Function errors", "Errors", "Sum"),
        ("Function throttles", "Throttles", "Sum"),
        ("Function duration, p99 (ms)", "Duration", "p99"),
        ("Function concurrency", "ConcurrentExecutions", "Maximum"),
    ):
        lines: list[list[Any]] = [
            ["AWS/Lambda", name, "FunctionName", f"${{{function.logical_name}}}", {"label": function.name}]
            for function in functions
        ]
        yield title, statistic, lines


def _queues() -> Iterable[_Widget]:
    for title, name, logical_name in (
        ("Age of the oldest message (s)", "ApproximateAgeOfOldestMessage", queue_name),
        ("Dead letters", "ApproximateNumberOfMessagesVisible", dead_letter_queue_name),
    ):
        lines: list[list[Any]] = [
            ["AWS/SQS", name, "QueueName", f"${{{logical_name(queue)}Name}}", {"label": queue.name}]
            for queue in queues.QUEUES
        ]
        yield title, "Maximum", lines
