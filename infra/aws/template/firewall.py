"""An optional AWS WAF rule that limits the requests of one client before they reach API Gateway."""

from chalicelib.platform.errors import TooManyRequests
from chalicelib.platform.http import problems
from infra.aws.template.cfn import Json, ref, resource, sub, when

WINDOW_SECONDS = 300
_BODY = "TooManyRequests"
_PROBLEM = problems.render(slug=TooManyRequests.slug(), title=TooManyRequests.title(), status=429)


def resources() -> Json:
    return {
        "Firewall": resource(
            "WAFv2::WebACL",
            {
                "Scope": "REGIONAL",
                "DefaultAction": {"Allow": {}},
                "VisibilityConfig": _metrics("Firewall"),
                "CustomResponseBodies": {_BODY: {"ContentType": "APPLICATION_JSON", "Content": _PROBLEM}},
                "Rules": [
                    {
                        "Name": "RequestsPerClient",
                        "Priority": 0,
                        "Statement": {
                            "RateBasedStatement": {
                                "AggregateKeyType": "IP",
                                "EvaluationWindowSec": WINDOW_SECONDS,
                                "Limit": ref("FirewallLimit"),
                                "ScopeDownStatement": when("HasCdn", _all_but_reads_of_events()),
                            }
                        },
                        "Action": {"Block": {"CustomResponse": _response()}},
                        "VisibilityConfig": _metrics("RequestsPerClient"),
                    }
                ],
            },
            Condition="HasFirewall",
        ),
        "FirewallAssociation": resource(
            "WAFv2::WebACLAssociation",
            {
                "ResourceArn": sub(
                    "arn:${AWS::Partition}:apigateway:${AWS::Region}::/restapis/${RestAPI}/stages/${RestAPI.Stage}"
                ),
                "WebACLArn": {"Fn::GetAtt": ["Firewall", "Arn"]},
            },
            Condition="HasFirewall",
        ),
    }


def _all_but_reads_of_events() -> Json:
    """Requests of the CDN come from its own addresses. The throttles of API Gateway limit reads anyway."""
    method = _matches({"Method": {}}, "EXACTLY", "GET")
    path = _matches({"UriPath": {}}, "CONTAINS", "/events")
    return {"NotStatement": {"Statement": {"AndStatement": {"Statements": [method, path]}}}}


def _matches(field: Json, constraint: str, text: str) -> Json:
    return {
        "ByteMatchStatement": {
            "FieldToMatch": field,
            "PositionalConstraint": constraint,
            "SearchString": text,
            "TextTransformations": [{"Priority": 0, "Type": "NONE"}],
        }
    }


def _response() -> Json:
    return {
        "ResponseCode": 429,
        "CustomResponseBodyKey": _BODY,
        "ResponseHeaders": [{"Name": "Retry-After", "Value": str(WINDOW_SECONDS)}],
    }


def _metrics(name: str) -> Json:
    return {"MetricName": name, "CloudWatchMetricsEnabled": True, "SampledRequestsEnabled": False}
