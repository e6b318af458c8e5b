"""API Gateway: throttling, access log, custom domain, and its own error responses."""

import json
from collections.abc import Iterable
from http import HTTPStatus

from chalice.app import Chalice

from chalicelib.platform.errors import Unavailable
from chalicelib.platform.http.problems import CONTENT_TYPE, FAULT, STATUS, render
from chalicelib.platform.http.serving import CORS, SECURITY_HEADERS
from infra.aws import throttles
from infra.aws.function_table import API, Function
from infra.aws.template.cfn import Json, arn, assumed_by, att, log_group, of_stage, ref, resource, sub, when

_INTEGRATION = "x-amazon-apigateway-integration"

_RESPONSE_TYPES: dict[HTTPStatus, list[str]] = {
    HTTPStatus.BAD_REQUEST: ["BAD_REQUEST_BODY", "BAD_REQUEST_PARAMETERS"],
    HTTPStatus.UNAUTHORIZED: ["UNAUTHORIZED"],
    HTTPStatus.FORBIDDEN: ["WAF_FILTERED"],
    # API Gateway reports an unknown path as a missing AWS signature, which none of our paths needs. With
    # `Authorization: Bearer` the response type has no name of its own and falls under DEFAULT_4XX.
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
    # The function could not be called, for example because it is at its concurrency limit.
    HTTPStatus.SERVICE_UNAVAILABLE: ["INTEGRATION_FAILURE"],
    HTTPStatus.GATEWAY_TIMEOUT: ["INTEGRATION_TIMEOUT"],
}
"""API Gateway's own responses, by the status that we give them."""
_PROBLEMS = {
    **{status: (refusal.slug(), refusal.title()) for refusal, status in STATUS.items()},
    HTTPStatus.INTERNAL_SERVER_ERROR: FAULT,
    HTTPStatus.GATEWAY_TIMEOUT: (Unavailable.slug(), Unavailable.title()),
}
"""The slug and title of the app's problem type, by status."""
_RETRY_AFTER_SECONDS = 1
_MIN_COMPRESSED_BYTES = 1024
_RETRYABLE = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}

_ACCESS_LOG_LINE = {
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


def resources(app: Chalice, functions: Iterable[Function]) -> Json:
    by_name = {function.name: function for function in functions}
    with_routes = [function for function in by_name.values() if function.routes]
    # Send every method of a path to the API function: the app responds to unsupported methods with 405 and
    # `Allow`.
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
    # Chalice's own declarations of methods call the functions without the alias.
    serving = {route: function for function in with_routes for route in function.routes}
    for path, methods in app.routes.items():
        for method in methods:
            function = serving.get((method, path), by_name[API])
            paths[path][method.lower()] = {_INTEGRATION: {"uri": _uri(function)}}
    return {
        "RestAPI": {
            "DependsOn": "ApiGatewayAccount",
            "Properties": {
                "Name": ref("AWS::StackName"),
                # With a version, SAM does not add a second stage, which would be without limits and logs.
                "OpenApiVersion": "2.0",
                "DisableExecuteApiEndpoint": when("HasDomain", then=True, otherwise=False),
                "EndpointConfiguration": {"Type": "REGIONAL"},
                # Small responses would become larger, and each compression takes time.
                "MinimumCompressionSize": _MIN_COMPRESSED_BYTES,
                "TracingEnabled": True,
                "AccessLogSetting": {
                    "DestinationArn": att("AccessLogs"),
                    "Format": json.dumps(_ACCESS_LOG_LINE, separators=(",", ":")),
                },
                "MethodSettings": [
                    _throttle(*method, throttle.name)
                    for throttle in throttles.THROTTLES
                    for method in throttle.methods
                ],
                "DefinitionBody": {
                    "info": {"title": ref("AWS::StackName")},
                    "paths": paths,
                    # Bodies of responses can be binary whatever the client accepts: a browser that opens a
                    # PDF accepts `text/html` first. All bodies of requests come in Base64.
                    "x-amazon-apigateway-binary-media-types": ["*/*"],
                    "x-amazon-apigateway-gateway-responses": gateway_responses(),
                },
            },
        },
        "AccessLogs": log_group("access"),
        **{
            f"{function.logical_name}InvokePermission": _invoke_permission(function)
            for function in (by_name[API], *with_routes)
        },
        **_log_permission(),
        **_domain(),
    }


def _uri(function: Function) -> Json:
    # A value, because cfn-lint does not know SAM's `.Alias` inside a text.
    return sub(
        "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${Alias}/invocations",
        Alias=ref(f"{function.logical_name}.Alias"),
    )


def _invoke_permission(function: Function) -> Json:
    """Let the API call a function's alias. Chalice declares it for the API function, without the alias."""
    return resource(
        "Lambda::Permission",
        {
            "FunctionName": ref(f"{function.logical_name}.Alias"),
            "Action": "lambda:InvokeFunction",
            "Principal": "apigateway.amazonaws.com",
            "SourceArn": arn("execute-api", "${RestAPI}/*"),
        },
    )


def _throttle(method: str, path: str, prefix: str) -> Json:
    return {
        # JSON Pointer: a slash inside the path is written ~1. `/*` stands for all paths.
        "ResourcePath": path if path == "/*" else "/" + path.replace("/", "~1"),
        "HttpMethod": method,
        "MetricsEnabled": False,
        "ThrottlingRateLimit": of_stage(f"{prefix}PerSecond"),
        "ThrottlingBurstLimit": of_stage(f"{prefix}Burst"),
    }


def gateway_responses() -> Json:
    """Return a problem document for each of API Gateway's own responses."""
    return {kind: _problem(status) for status, kinds in _RESPONSE_TYPES.items() for kind in kinds}


def _problem(status: HTTPStatus) -> Json:
    slug, title = _PROBLEMS[status]
    headers = {
        "Content-Type": CONTENT_TYPE,
        "Cache-Control": "private, no-store",
        "Strict-Transport-Security": SECURITY_HEADERS["Strict-Transport-Security"],
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",  # a Content-Security-Policy has quotes, which cannot be written here
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Expose-Headers": CORS.get_access_control_headers()["Access-Control-Expose-Headers"],
    }
    if status in _RETRYABLE:
        headers["Retry-After"] = str(_RETRY_AFTER_SECONDS)
    parameters = {f"gatewayresponse.header.{name}": f"'{value}'" for name, value in headers.items()}
    parameters["gatewayresponse.header.X-Request-Id"] = "context.requestId"
    return {
        "statusCode": str(int(status)),
        "responseParameters": parameters,
        "responseTemplates": {"application/json": render(slug=slug, title=title, status=status)},
    }


def _log_permission() -> Json:
    """Let API Gateway write logs. The setting belongs to account and region, so it outlives the stack."""
    managed = "arn:${AWS::Partition}:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
    return {
        "ApiGatewayLogsRole": resource(
            "IAM::Role",
            {"AssumeRolePolicyDocument": assumed_by("apigateway"), "ManagedPolicyArns": [sub(managed)]},
            removal_policy="Retain",
        ),
        "ApiGatewayAccount": resource(
            "ApiGateway::Account", {"CloudWatchRoleArn": att("ApiGatewayLogsRole")}, removal_policy="Retain"
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
            {"DomainName": ref("ApiDomain"), "RestApiId": ref("RestAPI"), "Stage": ref("RestAPI.Stage")},
            Condition="HasDomain",
        ),
    }


def outputs() -> Json:
    return {
        "ApiDomainTarget": {
            "Condition": "HasDomain",
            "Description": "Target of DomainName's CNAME record",
            "Value": att("ApiDomain", "RegionalDomainName"),
        },
        "MigrateFunction": {
            "Description": "Function that migrates the database schema",
            "Value": ref("Migrate"),
        },
        "OperateFunction": {"Description": "Function that `make operate` calls", "Value": ref("Operate")},
        "PublicUrl": {"Value": when("HasDomain", sub("https://${DomainName}"))},
    }
