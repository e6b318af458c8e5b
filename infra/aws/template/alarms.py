"""Alarms, sent by email."""

from collections.abc import Iterable

from chalicelib.platform.messaging import queues
from chalicelib.platform.observability import metrics
from infra.aws.function_table import Function
from infra.aws.template.cfn import Json, att, logical_name, of_stage, ref, resource, when
from infra.aws.template.messaging import dead_letter_queue_name, queue_name

TOPIC = "Alarms"

_PERIOD_SECONDS = 60
_MAX_OUTBOX_AGE_SECONDS = 60
_MAX_OUTAGE_MINUTES = 10
_MAX_5XX_SHARE = 0.01
_MAX_LATENCY_MS = 2_000
_MAX_CPU_PERCENT = 80
_MAX_PINNED_CONNECTIONS = 5
_MIN_FREE_STORAGE_BYTES = 2 * 10**9


def resources(functions: Iterable[Function]) -> Json:
    result = {
        TOPIC: resource("SNS::Topic", {"KmsMasterKeyId": ref("TopicsKey")}),
        "AlarmSubscription": resource(
            "SNS::Subscription",
            {"TopicArn": ref(TOPIC), "Protocol": "email", "Endpoint": ref("AlarmAddress")},
        ),
        **_application(),
        **_api(),
        **_database(),
    }
    for function in functions:
        result |= _function(function)
    for queue in queues.QUEUES:
        result |= _queue(queue)
    return result


def _alarm(
    description: str,
    metric: Json,
    threshold: float | Json,
    *,
    minutes: int = 5,
    missing: str = "notBreaching",
    below: bool = False,
) -> Json:
    """Declare an alarm for a metric that stays above (or below) a threshold for some minutes."""
    return resource(
        "CloudWatch::Alarm",
        {
            "AlarmDescription": description,
            **metric,
            "Period": _PERIOD_SECONDS,
            "EvaluationPeriods": minutes,
            "Threshold": threshold,
            "ComparisonOperator": "LessThanThreshold" if below else "GreaterThanThreshold",
            "TreatMissingData": missing,
            "AlarmActions": [ref(TOPIC)],
            "OKActions": [ref(TOPIC)],
        },
    )


def _metric(namespace: str, name: str, statistic: str = "Maximum", **dimensions: Json) -> Json:
    """Name a metric. CloudWatch calls percentiles, such as p99, extended statistics."""
    kind = "ExtendedStatistic" if statistic.startswith("p") else "Statistic"
    return {
        "Namespace": namespace,
        "MetricName": name,
        kind: statistic,
        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
    }


def _function(function: Function) -> Json:
    def metric(name: str) -> Json:
        return _metric("AWS/Lambda", name, "Sum", FunctionName=ref(function.logical_name))

    return {
        f"{function.logical_name}ErrorsAlarm": _alarm(
            f"{function.name} raised an error. See its log.", metric("Errors"), 0, minutes=1
        ),
        f"{function.logical_name}ThrottlesAlarm": _alarm(
            f"{function.name} is throttled. It reached its concurrency in infra/aws/function_table.py, "
            "or the account reached its quota.",
            metric("Throttles"),
            0,
        ),
    }


def _queue(queue: queues.Queue) -> Json:
    def metric(name: str, target: str) -> Json:
        return _metric("AWS/SQS", name, QueueName=att(target, "QueueName"))

    return {
        f"{logical_name(queue.name)}AgeAlarm": _alarm(
            f"Messages wait too long in {queue.name}. {queue.function} is too slow or fails: see its log.",
            metric("ApproximateAgeOfOldestMessage", queue_name(queue)),
            # A message that failed once waits for one visibility timeout and may then succeed.
            2 * queue.visibility,
        ),
        f"{logical_name(queue.name)}DeadLettersAlarm": _alarm(
            f"Messages in {queue.name} failed {queue.attempts} times. Fix the cause, see the log of "
            f"{queue.function}, then run make redrive.",
            metric("ApproximateNumberOfMessagesVisible", dead_letter_queue_name(queue)),
            0,
            minutes=1,
        ),
    }


def _application() -> Json:
    return {
        "OutboxAgeAlarm": _alarm(
            f"A domain event waits for more than {_MAX_OUTBOX_AGE_SECONDS} seconds, or relay_outbox does not "
            "run. See the log of relay_outbox.",
            _metric(metrics.NAMESPACE, "OutboxAge"),
            _MAX_OUTBOX_AGE_SECONDS,
            missing="breaching",
        ),
        "MessagesPutBackAlarm": _alarm(
            f"Functions on queues have met an outage for {_MAX_OUTAGE_MINUTES} minutes. See their log: it is "
            "of the database, SES, SQS or Stripe. Their messages wait.",
            _metric(metrics.NAMESPACE, "MessagesPutBack", "Sum"),
            0,
            minutes=_MAX_OUTAGE_MINUTES,
        ),
        "PaymentsFlaggedAlarm": _alarm(
            "A payment needs manual handling. See docs/operations.md.",
            _metric(metrics.NAMESPACE, "PaymentsFlagged", "Sum"),
            0,
            minutes=1,
        ),
    }


def _api() -> Json:
    def metric(name: str, statistic: str) -> Json:
        return _metric("AWS/ApiGateway", name, statistic, ApiName=ref("AWS::StackName"))

    return {
        "ApiFaultsAlarm": _alarm(
            f"More than {_MAX_5XX_SHARE:.0%} of requests fail with a 5xx status. See the logs of api_handler "
            "and confirm_payments.",
            metric("5XXError", "Average"),
            _MAX_5XX_SHARE,
        ),
        "ApiLatencyAlarm": _alarm(
            f"1 % of requests take longer than {_MAX_LATENCY_MS} ms.",
            metric("Latency", "p99"),
            _MAX_LATENCY_MS,
        ),
    }


def _database() -> Json:
    # Aurora reports these metrics per cluster.
    server = {
        "Name": when("HasAurora", "DBClusterIdentifier", "DBInstanceIdentifier"),
        "Value": when("HasAurora", ref("DatabaseCluster"), ref("Database")),
    }

    def metric(name: str) -> Json:
        return {**_metric("AWS/RDS", name, "Average"), "Dimensions": [server]}

    storage = _alarm(
        f"The database has less than {_MIN_FREE_STORAGE_BYTES // 10**9} GB of free storage.",
        _metric("AWS/RDS", "FreeStorageSpace", "Minimum", DBInstanceIdentifier=ref("Database")),
        _MIN_FREE_STORAGE_BYTES,
        below=True,
    )
    return {
        "DatabaseProcessorAlarm": _alarm(
            f"The database uses more than {_MAX_CPU_PERCENT} % of its CPU.",
            metric("CPUUtilization"),
            _MAX_CPU_PERCENT,
            minutes=10,
        ),
        "DatabaseConnectionsAlarm": _alarm(
            "The database is close to its connection limit.",
            metric("DatabaseConnections"),
            of_stage("ConnectionsAlarmThreshold"),
        ),
        "DatabaseStorageAlarm": {**storage, "Condition": "HasInstance"},
        "ProxyPinnedAlarm": _alarm(
            f"RDS Proxy has pinned more than {_MAX_PINNED_CONNECTIONS} connections, which it cannot share.",
            _metric("AWS/RDS", "DatabaseConnectionsCurrentlySessionPinned", ProxyName=ref("DatabaseProxy")),
            _MAX_PINNED_CONNECTIONS,
        ),
    }
