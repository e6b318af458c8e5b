"""An optional CDN for anonymous reads, such as those of an event whose sale starts."""

from infra.aws.template.cfn import Json, att, ref, resource, sub, when

_MAX_TTL_SECONDS = 60
_ERROR_TTLS = {400: 1, 404: 1, 500: 0, 503: 0}
"""Seconds. CloudFront's default is 10, in which a published event would still be missing."""


def resources() -> Json:
    return {
        "CdnCachePolicy": resource(
            "CloudFront::CachePolicy",
            {
                "CachePolicyConfig": {
                    "Name": sub("${AWS::StackName}-reads"),
                    # As long as the response says: two seconds for events, not at all for what is private.
                    "MinTTL": 0,
                    "DefaultTTL": 0,
                    "MaxTTL": _MAX_TTL_SECONDS,
                    "ParametersInCacheKeyAndForwardedToOrigin": {
                        # No Authorization: all requests through the CDN are anonymous.
                        "HeadersConfig": {"HeaderBehavior": "none"},
                        "CookiesConfig": {"CookieBehavior": "none"},
                        "QueryStringsConfig": {"QueryStringBehavior": "all"},
                        "EnableAcceptEncodingGzip": True,
                        "EnableAcceptEncodingBrotli": True,
                    },
                }
            },
            Condition="HasCdn",
        ),
        "CdnDistribution": resource(
            "CloudFront::Distribution",
            {
                "DistributionConfig": {
                    "Enabled": True,
                    "HttpVersion": "http2and3",
                    "Origins": [_origin()],
                    "DefaultCacheBehavior": {
                        "TargetOriginId": "api",
                        "AllowedMethods": ["GET", "HEAD"],
                        "CachePolicyId": ref("CdnCachePolicy"),
                        "Compress": True,
                        "ViewerProtocolPolicy": "https-only",
                    },
                    "CustomErrorResponses": [
                        {"ErrorCode": status, "ErrorCachingMinTTL": seconds}
                        for status, seconds in _ERROR_TTLS.items()
                    ],
                    "ViewerCertificate": {"CloudFrontDefaultCertificate": True},
                }
            },
            Condition="HasCdn",
        ),
    }


def _origin() -> Json:
    own = sub("${RestAPI}.execute-api.${AWS::Region}.${AWS::URLSuffix}")
    return {
        "Id": "api",
        "DomainName": when("HasDomain", ref("DomainName"), own),
        "OriginPath": when("HasDomain", "", sub("/${RestAPI.Stage}")),
        "CustomOriginConfig": {"OriginProtocolPolicy": "https-only", "OriginSSLProtocols": ["TLSv1.2"]},
    }


def outputs() -> Json:
    return {
        "CdnUrl": {
            "Description": "Where front ends read events without a token",
            "Condition": "HasCdn",
            "Value": {"Fn::Join": ["", ["https://", att("CdnDistribution", "DomainName")]]},
        }
    }
