"""An optional AWS WAF rule that limits the requests of one client before they reach API Gateway."""

from chalicelib.platform.errors import TooManyRequests
from chalicelib.platform.http import problems
from infra.aws.template.cfn import Json, ref, resource, sub

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


def _response() -> Json:
    return {
        "ResponseCode": 429,
        "CustomResponseBodyKey": _BODY,
        "ResponseHeaders": [{"Name": "Retry-After", "Value": str(WINDOW_SECONDS)}],
    }


def _metrics(name: str) -> Json:
    return {"MetricName": name, "CloudWatchMetricsEnabled": True, "SampledRequestsEnabled": False}
