"""The dashboard: the same numbers as the alarms, beside each other."""

import json
from collections.abc import Iterable
from typing import Any

from chalicelib.platform.messaging import queues
from chalicelib.platform.observability import metrics
from infra.functions import Function
from infra.template.messaging import dead_letters_of, queue_of
from infra.template.words import Json, att, ref, resource, sub, when

_WIDTH, _HEIGHT = 12, 6
"""Of a widget; a dashboard is 24 wide."""


def dashboard(table: Iterable[Function]) -> Json:
    functions = list(table)
    values: Json = {
        "DatabaseDimension": when("HasAurora", "DBClusterIdentifier", "DBInstanceIdentifier"),
        "DatabaseName": when("HasAurora", ref("DatabaseCluster"), ref("Database")),
    }
    for queue in queues.QUEUES:
        for name in (queue_of(queue), dead_letters_of(queue)):
            values[f"{name}Name"] = att(name, "QueueName")
    widgets = [
        _widget(title, statistic, lines)
        for title, statistic, lines in [*_api_and_database(), *_functions(functions), *_queues()]
    ]
    placed = [
        {**widget, "x": _WIDTH * (index % 2), "y": _HEIGHT * (index // 2)}
        for index, widget in enumerate(widgets)
    ]
    body = json.dumps({"widgets": placed}, separators=(",", ":"))
    return {
        "Dashboard": resource(
            "CloudWatch::Dashboard",
            {"DashboardName": sub("${AWS::StackName}"), "DashboardBody": sub(body, **values)},
        )
    }


_Widget = tuple[str, str, list[list[Any]]]
"""A title, a statistic, and metrics."""


def _widget(title: str, statistic: str, lines: list[list[Any]]) -> Json:
    return {
        "type": "metric",
        "width": _WIDTH,
        "height": _HEIGHT,
        "properties": {
            "title": title,
            "region": "${AWS::Region}",
            "stat": statistic,
            "period": 60,
            "metrics": lines,
        },
    }


def _api_and_database() -> Iterable[_Widget]:
    api = ["ApiName", "${AWS::StackName}"]
    server = ["${DatabaseDimension}", "${DatabaseName}"]
    proxy = ["ProxyName", "${DatabaseProxy}"]
    yield "Requests", "Sum", [["AWS/ApiGateway", name, *api] for name in ("Count", "4XXError", "5XXError")]
    yield (
        "Latency (ms)",
        "p99",
        [["AWS/ApiGateway", "Latency", *api, {"stat": statistic}] for statistic in ("p50", "p90", "p99")],
    )
    yield "Age of the outbox (s)", "Maximum", [[metrics.NAMESPACE, "OutboxAge"]]
    yield "Domain events", "Sum", [[metrics.NAMESPACE, "DomainEventsPublished"]]
    yield "Bookings by outcome", "Sum", [_by_outcome("Bookings", "SampleCount")]
    yield "Time of the booking procedure (ms)", "p99", [_by_outcome("BookingLatency", "p99")]
    yield "Stripe's events by outcome", "Sum", [_by_outcome("WebhookEvents", "Sum")]
    yield "Refunds by outcome", "Sum", [_by_outcome("Refunds", "Sum")]
    yield (
        "Holds ended, e-mails sent, payments flagged",
        "Sum",
        [[metrics.NAMESPACE, name] for name in ("HoldsExpired", "EmailsSent", "PaymentsFlagged")],
    )
    yield "Processor of the database (%)", "Average", [["AWS/RDS", "CPUUtilization", *server]]
    yield (
        "Connections",
        "Maximum",
        [
            ["AWS/RDS", "DatabaseConnections", *server],
            ["AWS/RDS", "ClientConnections", *proxy],
            ["AWS/RDS", "DatabaseConnectionsCurrentlySessionPinned", *proxy],
        ],
    )


def _by_outcome(name: str, statistic: str) -> list[Any]:
    """One line for each outcome that there has been."""
    search = f'{{{metrics.NAMESPACE},outcome}} MetricName="{name}"'
    return [{"expression": f"SEARCH('{search}', '{statistic}', 60)"}]


def _functions(functions: list[Function]) -> Iterable[_Widget]:
    for title, name, statistic in (
        ("Calls of functions", "Invocations", "Sum"),
        ("Errors of functions", "Errors", "Sum"),
        ("Throttles of functions", "Throttles", "Sum"),
        ("Time of functions (ms)", "Duration", "p99"),
        ("Functions at once", "ConcurrentExecutions", "Maximum"),
    ):
        lines: list[list[Any]] = [
            ["AWS/Lambda", name, "FunctionName", f"${{{function.logical_name}}}", {"label": function.name}]
            for function in functions
        ]
        yield title, statistic, lines


def _queues() -> Iterable[_Widget]:
    def of(measure: str, resource_name: str, label: str) -> list[Any]:
        return ["AWS/SQS", measure, "QueueName", f"${{{resource_name}Name}}", {"label": label}]

    yield (
        "Age of the oldest message (s)",
        "Maximum",
        [of("ApproximateAgeOfOldestMessage", queue_of(queue), queue.name) for queue in queues.QUEUES],
    )
    yield (
        "Dead letters",
        "Maximum",
        [
            of("ApproximateNumberOfMessagesVisible", dead_letters_of(queue), queue.name)
            for queue in queues.QUEUES
        ],
    )
