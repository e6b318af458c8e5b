"""The API's edge: throttling, logs, its domain, and the answers that API Gateway gives by itself."""

import json
from collections.abc import Iterable
from http import HTTPStatus

from chalice.app import Chalice

from chalicelib.platform.errors import Unavailable
from chalicelib.platform.http.problems import CONTENT_TYPE, STATUS
from chalicelib.platform.http.router import CORS
from infra.functions import API, Function
from infra.template.functions import public_url
from infra.template.words import NOTHING, Json, arn, assumed_by, att, of_stage, ref, resource, sub, when

_ANSWERS: dict[HTTPStatus, list[str]] = {
    HTTPStatus.BAD_REQUEST: ["BAD_REQUEST_BODY", "BAD_REQUEST_PARAMETERS"],
    HTTPStatus.UNAUTHORIZED: ["UNAUTHORIZED"],
    HTTPStatus.FORBIDDEN: ["WAF_FILTERED"],
    # Where a path is unknown, API Gateway asks for a signature of AWS; no path of ours wants one. What
    # it says of a request with `Authorization: Bearer` comes under the last, with no name of its own.
    HTTPStatus.NOT_FOUND: [
        "MISSING_AUTHENTICATION_TOKEN",
        "RESOURCE_NOT_FOUND",
        "INVALID_SIGNATURE",
        "EXPIRED_TOKEN",
        "ACCESS_DENIED",
        "INVALID_API_KEY",
        "DEFAULT_4XX",
    ],
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ["REQUEST_TOO_LARGE"],
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: ["UNSUPPORTED_MEDIA_TYPE"],
    HTTPStatus.TOO_MANY_REQUESTS: ["THROTTLED", "QUOTA_EXCEEDED"],
    HTTPStatus.INTERNAL_SERVER_ERROR: [
        "API_CONFIGURATION_ERROR",
        "AUTHORIZER_CONFIGURATION_ERROR",
        "AUTHORIZER_FAILURE",
        "DEFAULT_5XX",
    ],
    # The function could not be called, as when all that it may run at once are running.
    HTTPStatus.SERVICE_UNAVAILABLE: ["INTEGRATION_FAILURE"],
    HTTPStatus.GATEWAY_TIMEOUT: ["INTEGRATION_TIMEOUT"],
}
"""What API Gateway says by itself, by the status that it is to have."""
_INTEGRATION = "x-amazon-apigateway-integration"
_TYPES = {
    **{status: (refusal.slug(), refusal.title()) for refusal, status in STATUS.items()},
    HTTPStatus.INTERNAL_SERVER_ERROR: ("fault", "A fault on our side"),
    HTTPStatus.GATEWAY_TIMEOUT: (Unavailable.slug(), Unavailable.title()),
}
"""The problem types and titles, as the app has them."""
_AGAIN_IN_A_SECOND = {
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}

THROTTLES = {
    ("*", "/*"): "Requests",
    # These have limits of their own, so that a crowd of readers keeps nobody from booking, a crowd at one
    # event nobody from paying, and neither of them Stripe from telling what was paid.
    ("POST", "/bookings"): "Bookings",
    ("POST", "/bookings/{bookingId}/payment"): "Payments",
    ("POST", "/webhooks/stripe"): "Webhooks",
}
"""Methods and paths, and whose limits of the stage they have."""

_LOG_LINE = {
    "time": "$context.requestTime",
    "requestId": "$context.requestId",
    "ip": "$context.identity.sourceIp",
    "method": "$context.httpMethod",
    "route": "$context.resourcePath",
    "status": "$context.status",
    "bytes": "$context.responseLength",
    "ms": "$context.responseLatency",
    "functionMs": "$context.integrationLatency",
    "functionError": "$context.integrationErrorMessage",
    "refused": "$context.error.responseType",
    "userAgent": "$context.identity.userAgent",
    "trace": "$context.xrayTraceId",
}


def api(app: Chalice, table: Iterable[Function]) -> Json:
    by_name = {function.name: function for function in table}
    others = [function for function in by_name.values() if function.routes]
    # Chalice hands each method that a path has to the API's function. The app answers those that it does not
    # have with 405 and Allow.
    paths: dict[str, Json] = {
        path: {
            "x-amazon-apigateway-any-method": {
                "responses": {},
                _INTEGRATION: {
                    "type": "aws_proxy",
                    "httpMethod": "POST",
                    "uri": _uri(by_name[API]),
                    "passthroughBehavior": "when_no_match",
                    "contentHandling": "CONVERT_TO_TEXT",
                },
            }
        }
        for path in app.routes
    }
    for function in others:
        for method, path in function.routes:
            paths[path][method.lower()] = {_INTEGRATION: {"uri": _uri(function)}}
    return {
        "RestAPI": {
            "DependsOn": "ApiGatewayAccount",
            "Properties": {
                "EndpointConfiguration": {"Type": "REGIONAL"},
                "TracingEnabled": True,
                "AccessLogSetting": {
                    "DestinationArn": att("AccessLogs"),
                    "Format": json.dumps(_LOG_LINE, separators=(",", ":")),
                },
                "MethodSettings": [_throttle(*method, what) for method, what in THROTTLES.items()],
                "DefinitionBody": {
                    "info": {"title": ref("AWS::StackName")},
                    "paths": paths,
                    "x-amazon-apigateway-gateway-responses": gateway_responses(),
                },
            },
        },
        "AccessLogs": resource(
            "Logs::LogGroup",
            {"LogGroupName": sub("/${AWS::StackName}/access"), "RetentionInDays": of_stage("LogDays")},
            UpdateReplacePolicy="Delete",
            DeletionPolicy="Delete",
        ),
        **{f"{function.logical_name}InvokePermission": _permission_to_call(function) for function in others},
        **_permission_to_log(),
        **_domain(),
    }


def _uri(function: Function) -> Json:
    path = f"2015-03-31/functions/${{{function.logical_name}.Arn}}/invocations"
    return sub(f"arn:${{AWS::Partition}}:apigateway:${{AWS::Region}}:lambda:path/{path}")


def _permission_to_call(function: Function) -> Json:
    """Let the API call a function; Chalice does that for its own."""
    return resource(
        "Lambda::Permission",
        {
            "FunctionName": ref(function.logical_name),
            "Action": "lambda:InvokeFunction",
            "Principal": "apigateway.amazonaws.com",
            "SourceArn": arn("execute-api", "${RestAPI}/*"),
        },
    )


def _throttle(method: str, path: str, what: str) -> Json:
    return {
        # A slash of a path is written ~1; the asterisk stands for all paths.
        "ResourcePath": path if path == "/*" else "/" + path.replace("/", "~1"),
        "HttpMethod": method,
        "MetricsEnabled": False,
        "ThrottlingRateLimit": of_stage(f"{what}PerSecond"),
        "ThrottlingBurstLimit": of_stage(f"{what}AtOnce"),
    }


def gateway_responses() -> Json:
    """Make problem documents of what API Gateway answers without the app."""
    return {kind: _problem(status) for status, kinds in _ANSWERS.items() for kind in kinds}


def _problem(status: HTTPStatus) -> Json:
    slug, title = _TYPES[status]
    headers = {
        "Content-Type": CONTENT_TYPE,
        "Cache-Control": "private, no-store",
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Expose-Headers": CORS.get_access_control_headers()["Access-Control-Expose-Headers"],
    }
    if status in _AGAIN_IN_A_SECOND:
        headers["Retry-After"] = "1"
    parameters = {f"gatewayresponse.header.{name}": f"'{value}'" for name, value in headers.items()}
    parameters["gatewayresponse.header.X-Request-Id"] = "context.requestId"
    rest = json.dumps({"title": title, "status": int(status)}, separators=(",", ":"))[1:]
    document = ['{"type":"', public_url(), f'/docs#{slug}",{rest}']
    return {
        "statusCode": str(int(status)),
        "responseParameters": parameters,
        "responseTemplates": {"application/json": {"Fn::Join": ["", document]}},
    }


def _permission_to_log() -> Json:
    """Let API Gateway write logs. It is a setting of the account and region: it stays when the stack goes."""
    managed = "arn:${AWS::Partition}:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
    return {
        "ApiGatewayLogsRole": resource(
            "IAM::Role",
            {
                "AssumeRolePolicyDocument": assumed_by("apigateway"),
                "ManagedPolicyArns": [sub(managed)],
            },
            UpdateReplacePolicy="Retain",
            DeletionPolicy="Retain",
        ),
        "ApiGatewayAccount": resource(
            "ApiGateway::Account",
            {"CloudWatchRoleArn": att("ApiGatewayLogsRole")},
            UpdateReplacePolicy="Retain",
            DeletionPolicy="Retain",
        ),
    }


def _domain() -> Json:
    return {
        "ApiDomain": resource(
            "ApiGateway::DomainName",
            {
                "DomainName": ref("DomainName"),
                "RegionalCertificateArn": ref("CertificateArn"),
                "EndpointConfiguration": {"Types": ["REGIONAL"]},
                "SecurityPolicy": "TLS_1_2",
            },
            Condition="HasDomain",
        ),
        "ApiDomainMapping": resource(
            "ApiGateway::BasePathMapping",
            {
                "DomainName": ref("ApiDomain"),
                "RestApiId": ref("RestAPI"),
                "Stage": ref("RestAPI.Stage"),
            },
            Condition="HasDomain",
        ),
    }


def outputs() -> Json:
    return {
        "ApiDomainTarget": {
            "Condition": "HasDomain",
            "Description": "What the CNAME of DomainName has to name",
            "Value": att("ApiDomain", "RegionalDomainName"),
        },
        "MigrateFunction": {
            "Description": "Brings the schema up to date",
            "Value": ref("Migrate"),
        },
        "PublicUrl": {"Value": when("HasDomain", sub("https://${DomainName}"), NOTHING)},
    }
