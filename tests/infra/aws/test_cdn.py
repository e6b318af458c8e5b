"""The optional CDN: anonymous reads only, beside the API."""

from typing import Any

import pytest

from chalicelib.platform.http.serving import SHARED
from tests.infra.aws.stack import Stack
from tests.infra.aws.test_template import GIVEN

CDN = {**GIVEN, "Cdn": "on"}


@pytest.fixture
def distribution(template: dict[str, Any]) -> dict[str, Any]:
    (made,) = Stack(template, CDN).of_type("AWS::CloudFront::Distribution").values()
    config: dict[str, Any] = made["DistributionConfig"]
    return config


def test_without_the_parameter_there_is_no_cdn(template: dict[str, Any]) -> None:
    stack = Stack(template, GIVEN)

    assert stack.of_type("AWS::CloudFront::Distribution") == {}
    assert stack.of_type("AWS::CloudFront::CachePolicy") == {}


def test_it_only_reads(distribution: dict[str, Any]) -> None:
    assert distribution["DefaultCacheBehavior"]["AllowedMethods"] == ["GET", "HEAD"]
    assert distribution["DefaultCacheBehavior"]["ViewerProtocolPolicy"] == "https-only"


def test_no_token_and_no_cookie_reaches_the_api(template: dict[str, Any]) -> None:
    (policy,) = Stack(template, CDN).of_type("AWS::CloudFront::CachePolicy").values()
    forwarded = policy["CachePolicyConfig"]["ParametersInCacheKeyAndForwardedToOrigin"]

    assert forwarded["HeadersConfig"] == {"HeaderBehavior": "none"}
    assert forwarded["CookiesConfig"] == {"CookieBehavior": "none"}
    assert forwarded["QueryStringsConfig"] == {"QueryStringBehavior": "all"}


def test_responses_are_kept_as_long_as_they_say(template: dict[str, Any]) -> None:
    (policy,) = Stack(template, CDN).of_type("AWS::CloudFront::CachePolicy").values()
    config = policy["CachePolicyConfig"]

    assert (config["MinTTL"], config["DefaultTTL"]) == (0, 0)
    assert config["MaxTTL"] >= int(SHARED.split("max-age=")[1].split(",")[0])


def test_errors_are_kept_for_a_second_at_most(distribution: dict[str, Any]) -> None:
    ttls = {error["ErrorCode"]: error["ErrorCachingMinTTL"] for error in distribution["CustomErrorResponses"]}

    assert {400, 404, 500, 503} <= ttls.keys()
    assert max(ttls.values()) <= 1


@pytest.mark.parametrize("domain", ["", "api.example.com"])
def test_it_reads_from_the_address_of_the_api(template: dict[str, Any], domain: str) -> None:
    (made,) = Stack(template, {**CDN, "DomainName": domain}).of_type("AWS::CloudFront::Distribution").values()
    [origin] = made["DistributionConfig"]["Origins"]

    assert origin["DomainName"] == domain or "execute-api" in origin["DomainName"]
    assert bool(origin["OriginPath"]) == (not domain)


def test_the_firewall_does_not_count_reads_of_events_that_come_from_the_cdn(template: dict[str, Any]) -> None:
    def scope(given: dict[str, str]) -> Any:
        (firewall,) = (
            Stack(template, {**given, "FirewallLimit": "1000"}).of_type("AWS::WAFv2::WebACL").values()
        )
        return firewall["Rules"][0]["Statement"]["RateBasedStatement"].get("ScopeDownStatement")

    assert scope(GIVEN) is None
    assert "NotStatement" in scope(CDN)
