"""Alarms: what somebody has to look at, told by e-mail."""

from collections.abc import Iterable

from chalicelib.platform.messaging import queues
from chalicelib.platform.observability import metrics
from infra.functions import Function
from infra.template.messaging import dead_letters_of, queue_of
from infra.template.words import Json, att, of_stage, ref, resource, titled, when

TOPIC = "Alarms"

_MINUTE = 60


def alarms(table: Iterable[Function]) -> Json:
    made = {
        TOPIC: resource("SNS::Topic", {"KmsMasterKeyId": ref("TopicsKey")}),
        "AlarmSubscription": resource(
            "SNS::Subscription",
            {"TopicArn": ref(TOPIC), "Protocol": "email", "Endpoint": ref("AlarmAddress")},
        ),
        **_of_the_outbox(),
        **_of_payments(),
        **_of_the_api(),
        **_of_the_database(),
    }
    for function in table:
        made |= _of_function(function)
    for queue in queues.QUEUES:
        made |= _of_queue(queue)
    return made


def _alarm(
    text: str,
    metric: Json,
    above: float | Json,
    *,
    minutes: int = 5,
    missing: str = "notBreaching",
    below: bool = False,
) -> Json:
    """Tell when a metric has been above (or below) a value for so many minutes, and when no longer."""
    return resource(
        "CloudWatch::Alarm",
        {
            "AlarmDescription": text,
            **metric,
            "Period": _MINUTE,
            "EvaluationPeriods": minutes,
            "Threshold": above,
            "ComparisonOperator": "LessThanThreshold" if below else "GreaterThanThreshold",
            "TreatMissingData": missing,
            "AlarmActions": [ref(TOPIC)],
            "OKActions": [ref(TOPIC)],
        },
    )


def metric(service: str, name: str, statistic: str = "Maximum", **dimensions: Json) -> Json:
    """Name a metric. A percentile, such as p99, is a statistic of another kind to CloudWatch."""
    kind = "ExtendedStatistic" if statistic.startswith("p") else "Statistic"
    return {
        "Namespace": service,
        "MetricName": name,
        kind: statistic,
        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
    }


def _of_function(function: Function) -> Json:
    name = function.logical_name

    def of(measure: str) -> Json:
        return metric("AWS/Lambda", measure, "Sum", FunctionName=ref(name))

    return {
        f"{name}ErrorsAlarm": _alarm(f"{function.name} fails: see its log", of("Errors"), 0, minutes=1),
        f"{name}ThrottlesAlarm": _alarm(
            f"{function.name} is at its limit, see infra/functions.py, or the account is", of("Throttles"), 0
        ),
    }


def _of_queue(queue: queues.Queue) -> Json:
    name = titled(queue.name)

    def of(measure: str, resource_name: str) -> Json:
        return metric("AWS/SQS", measure, QueueName=att(resource_name, "QueueName"))

    return {
        f"{name}AgeAlarm": _alarm(
            f"Messages wait in {queue.name}: {queue.function} does not keep up, or fails",
            of("ApproximateAgeOfOldestMessage", queue_of(queue)),
            # A message that failed once is there for a visibility timeout, and may then succeed.
            2 * queue.visibility,
        ),
        f"{name}DeadLettersAlarm": _alarm(
            f"Messages failed {queue.attempts} times: see the log of {queue.function}, then make redrive",
            of("ApproximateNumberOfMessagesVisible", dead_letters_of(queue)),
            0,
            minutes=1,
        ),
    }


def _of_the_outbox() -> Json:
    return {
        "OutboxAgeAlarm": _alarm(
            "Domain events wait, or relay_outbox does not run: see its log",
            metric(metrics.NAMESPACE, "OutboxAge"),
            60,
            missing="breaching",
        )
    }


def _of_payments() -> Json:
    return {
        "PaymentsFlaggedAlarm": _alarm(
            "A payment is for a person to look at: docs/operations.md, Flags",
            metric(metrics.NAMESPACE, "PaymentsFlagged", "Sum"),
            0,
            minutes=1,
        )
    }


def _of_the_api() -> Json:
    def of(measure: str, statistic: str) -> Json:
        return metric("AWS/ApiGateway", measure, statistic, ApiName=ref("AWS::StackName"))

    return {
        "ApiFaultsAlarm": _alarm(
            "More than 1 in 100 requests gets a 5xx: see the logs of api_handler and confirm_payments",
            of("5XXError", "Average"),
            0.01,
        ),
        "ApiLatencyAlarm": _alarm(
            "1 in 100 requests takes longer than 2 seconds (milliseconds)", of("Latency", "p99"), 2000
        ),
    }


def _of_the_database() -> Json:
    # Aurora has them by cluster.
    server = {
        "Name": when("HasAurora", "DBClusterIdentifier", "DBInstanceIdentifier"),
        "Value": when("HasAurora", ref("DatabaseCluster"), ref("Database")),
    }

    def of(measure: str, statistic: str = "Average") -> Json:
        return {**metric("AWS/RDS", measure, statistic), "Dimensions": [server]}

    pinned = metric("AWS/RDS", "DatabaseConnectionsCurrentlySessionPinned", ProxyName=ref("DatabaseProxy"))
    storage = _alarm(
        "Less than 2 GB of storage are free (bytes)",
        metric("AWS/RDS", "FreeStorageSpace", "Minimum", DBInstanceIdentifier=ref("Database")),
        2 * 10**9,
        below=True,
    )
    return {
        "DatabaseProcessorAlarm": _alarm("The processor is at 80 %", of("CPUUtilization"), 80, minutes=10),
        "DatabaseConnectionsAlarm": _alarm(
            "Nearly all connections that the database takes are open",
            of("DatabaseConnections"),
            of_stage("ManyConnections"),
        ),
        "DatabaseStorageAlarm": {**storage, "Condition": "HasInstance"},
        "ProxyPinnedAlarm": _alarm("Sessions keep a connection of the proxy to themselves", pinned, 5),
    }
