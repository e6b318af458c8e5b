"""What the logs are searched for: metrics that count lines, and saved queries."""

from collections.abc import Iterable

from chalicelib.platform.observability.metrics import NAMESPACE
from infra.aws.function_table import Function
from infra.aws.template.cfn import Json, ref, resource, sub

ERROR_LINES = "ErrorLines"
"""Error lines of all functions. Counted where the lines arrive, so that no function can leave it out."""
REQUESTS_THROTTLED = "RequestsThrottled"
"""Requests that API Gateway refused by one of its limits."""

RECENT_ERRORS = """fields @timestamp, message, error, requestId, bookingId, @log
| filter level = "error"
| sort @timestamp desc
| limit 50"""

FOLLOW_A_BOOKING = """fields @timestamp, message, coalesce(route, type, stripeEventType) as about, status,
  outcome, level, error, requestId, gatewayRequestId, domainEventId, messageId, @log
| filter bookingId = "PASTE THE ID OF THE BOOKING"
| filter message != "metric"
| sort @timestamp asc
| limit 1000"""


def resources(functions: Iterable[Function]) -> Json:
    functions = list(functions)
    result: Json = {
        f"{function.logical_name}ErrorLines": _count(
            ERROR_LINES, ref(function.log_group), '{ $.level = "error" }'
        )
        for function in functions
    }
    result["ThrottledRequests"] = _count(REQUESTS_THROTTLED, ref("AccessLogs"), '{ $.refused = "THROTTLED" }')
    groups = [ref(function.log_group) for function in functions]
    for name, query in (("Follow a booking", FOLLOW_A_BOOKING), ("Recent errors", RECENT_ERRORS)):
        result[f"{name.title().replace(' ', '')}Query"] = resource(
            "Logs::QueryDefinition",
            {"Name": sub(f"${{AWS::StackName}}/{name}"), "LogGroupNames": groups, "QueryString": query},
        )
    return result


def _count(metric: str, group: Json, pattern: str) -> Json:
    return resource(
        "Logs::MetricFilter",
        {
            "LogGroupName": group,
            "FilterPattern": pattern,
            "MetricTransformations": [
                {
                    "MetricNamespace": NAMESPACE,
                    "MetricName": metric,
                    "MetricValue": "1",
                    "DefaultValue": 0,
                    "Unit": "Count",
                }
            ],
        },
    )
