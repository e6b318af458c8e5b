"""The CloudWatch dashboard."""

import json
from collections.abc import Iterable
from typing import Any

from chalicelib.platform.messaging import queues
from chalicelib.platform.observability import metrics
from infra.aws.function_table import Function
from infra.aws.template.cfn import Json, att, ref, resource, sub, when
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
    widgets = [*_api(), *_application(), *_database(), *_functions(list(functions)), *_queues()]
    body = {"widgets": [_widget(index, *widget) for index, widget in enumerate(widgets)]}
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


def _api() -> Iterable[_Widget]:
    api = ["ApiName", "${AWS::StackName}"]
    yield "Requests", "Sum", [["AWS/ApiGateway", name, *api] for name in ("Count", "4XXError", "5XXError")]
    yield (
        "API latency (ms)",
        "p99",
        [["AWS/ApiGateway", "Latency", *api, {"stat": statistic}] for statistic in ("p50", "p90", "p99")],
    )


def _application() -> Iterable[_Widget]:
    yield "Age of the oldest domain event in the outbox (s)", "Maximum", [[metrics.NAMESPACE, "OutboxAge"]]
    yield "Domain events published", "Sum", [[metrics.NAMESPACE, "DomainEventsPublished"]]
    yield "Bookings by outcome", "Sum", [_by_outcome("Bookings", "SampleCount")]
    yield "Booking procedure, p99 (ms)", "p99", [_by_outcome("BookingLatency", "p99")]
    yield "Stripe events by outcome", "Sum", [_by_outcome("WebhookEvents", "Sum")]
    yield "Refunds by outcome", "Sum", [_by_outcome("Refunds", "Sum")]
    yield (
        "Holds ended, emails sent, payments flagged",
        "Sum",
        [[metrics.NAMESPACE, name] for name in ("HoldsExpired", "EmailsSent", "PaymentsFlagged")],
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


def _by_outcome(name: str, statistic: str) -> list[Any]:
    """Return one line per outcome that was measured."""
    search = f'{{{metrics.NAMESPACE},outcome}} MetricName="{name}"'
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
