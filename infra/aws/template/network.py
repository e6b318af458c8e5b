"""The network: private subnets in one or two availability zones, and their route to the internet."""

from pathlib import Path
from typing import Any

from infra.aws.template import masquerade
from infra.aws.template.cfn import Json, att, ref, resource, sub, tag, when

_ZONES = ("A", "B")

_VPC_CIDR = "10.0.0.0/16"
_SUBNETS = {
    "Public": ("10.0.0.0/24", "10.0.1.0/24"),
    "Database": ("10.0.8.0/24", "10.0.9.0/24"),
    "Private": ("10.0.64.0/20", "10.0.80.0/20"),
}
"""CIDR blocks by kind and zone. Functions run in the private subnets. Database subnets have no egress."""

ANYWHERE = "0.0.0.0/0"

_NAT_PROGRAM = Path(masquerade.__file__).read_text()
_NAT_SCRIPT = f"""#!/bin/bash
cat > /usr/local/sbin/masquerade.py <<'END'
{_NAT_PROGRAM}END
cat > /etc/systemd/system/nat.service <<'END'
[Service]
Type=oneshot
ExecStart=/usr/bin/python3 /usr/local/sbin/masquerade.py
[Install]
WantedBy=multi-user.target
END
systemctl enable nat.service
systemctl start nat.service && status=SUCCESS || status=FAILURE
curl -sS --retry 5 -X PUT -H "Content-Type:" --data-binary \\
  '{{"Status": "'$status'", "UniqueId": "nat", "Reason": "nat.service", "Data": ""}}' '${{NatStarted}}'
"""
"""Turns Amazon Linux into a NAT instance and reports whether that worked. It installs nothing."""
_NAT_START_SECONDS = 300


def resources() -> Json:
    return {
        "Vpc": resource(
            "EC2::VPC",
            {
                "CidrBlock": _VPC_CIDR,
                "EnableDnsSupport": True,
                "EnableDnsHostnames": True,
                "Tags": tag("vpc"),
            },
        ),
        "InternetGateway": resource("EC2::InternetGateway", {"Tags": tag("internet")}),
        "InternetGatewayAttachment": resource(
            "EC2::VPCGatewayAttachment", {"VpcId": ref("Vpc"), "InternetGatewayId": ref("InternetGateway")}
        ),
        "PublicRoutes": _routes("public"),
        "PublicRoute": resource(
            "EC2::Route",
            {
                "RouteTableId": ref("PublicRoutes"),
                "DestinationCidrBlock": ANYWHERE,
                "GatewayId": ref("InternetGateway"),
            },
            DependsOn="InternetGatewayAttachment",
        ),
        **_zone(0),
        **_zone(1),
        **_nat_gateway("A"),
        **_nat_gateway("B"),
        **_nat_instance(),
    }


def database_subnets() -> list[Json]:
    """Return the subnets of the database: RDS requires two zones, even if it uses one."""
    return [ref(f"DatabaseSubnet{zone}") for zone in _ZONES]


def private_subnets() -> list[Json]:
    return [ref("PrivateSubnetA"), when("HasSecondZone", ref("PrivateSubnetB"))]


def security_group(description: str, **rules: list[Json]) -> Json:
    """Declare a security group. Without an egress rule AWS would allow all egress, hence the default."""
    nowhere = {"IpProtocol": "icmp", "FromPort": 252, "ToPort": 86, "CidrIp": "255.255.255.255/32"}
    rules.setdefault("SecurityGroupEgress", [{**nowhere, "Description": "No egress"}])
    return resource("EC2::SecurityGroup", {"GroupDescription": description, "VpcId": ref("Vpc"), **rules})


def tcp(port: int, description: str, **peer: Any) -> Json:
    """Return a security group rule for one port."""
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "Description": description, **peer}


def _zone(index: int) -> Json:
    zone = _ZONES[index]
    result = {
        f"{kind}Subnet{zone}": resource(
            "EC2::Subnet",
            {
                "VpcId": ref("Vpc"),
                "AvailabilityZone": {"Fn::Select": [index, {"Fn::GetAZs": ""}]},
                "CidrBlock": ranges[index],
                "Tags": tag(f"{kind}-{zone}".lower()),
            },
        )
        for kind, ranges in _SUBNETS.items()
    }
    routes = {
        f"PublicRoutesOf{zone}": _association(f"PublicSubnet{zone}", "PublicRoutes"),
        f"PrivateRoutes{zone}": _routes(f"private-{zone.lower()}"),
        f"PrivateRoutesOf{zone}": _association(f"PrivateSubnet{zone}", f"PrivateRoutes{zone}"),
        f"PrivateRoute{zone}": resource(
            "EC2::Route",
            {
                "RouteTableId": ref(f"PrivateRoutes{zone}"),
                "DestinationCidrBlock": ANYWHERE,
                "InstanceId": when("HasNatInstance", ref("NatInstance")),
                "NatGatewayId": when("HasNatGateways", ref(f"NatGateway{zone}")),
            },
        ),
    }
    result |= routes
    if index == 0:
        return result
    always = f"DatabaseSubnet{zone}"
    return {
        name: part if name == always else {**part, "Condition": "HasSecondZone"}
        for name, part in result.items()
    }


def _routes(name: str) -> Json:
    return resource("EC2::RouteTable", {"VpcId": ref("Vpc"), "Tags": tag(name)})


def _association(subnet: str, routes: str) -> Json:
    return resource(
        "EC2::SubnetRouteTableAssociation", {"SubnetId": ref(subnet), "RouteTableId": ref(routes)}
    )


def _nat_gateway(zone: str) -> Json:
    condition = "HasNatGateways"
    address = f"NatAddress{zone}"
    return {
        address: resource(
            "EC2::EIP",
            {"Domain": "vpc", "Tags": tag(f"nat-{zone.lower()}")},
            Condition=condition,
            DependsOn="InternetGatewayAttachment",
        ),
        f"NatGateway{zone}": resource(
            "EC2::NatGateway",
            {
                "AllocationId": att(address, "AllocationId"),
                "SubnetId": ref(f"PublicSubnet{zone}"),
                "Tags": tag(f"nat-{zone.lower()}"),
            },
            Condition=condition,
        ),
    }


def _nat_instance() -> Json:
    """Declare a NAT instance without remote access. A deployment replaces it if there is a newer image."""
    result = {
        "NatSecurityGroup": security_group(
            "NAT instance: HTTPS from functions to the internet",
            SecurityGroupIngress=[
                tcp(443, "Calls of functions", SourceSecurityGroupId=att("EgressSecurityGroup", "GroupId"))
            ],
            SecurityGroupEgress=[
                tcp(443, "Calls of functions", CidrIp=ANYWHERE),
            ],
        ),
        "NatInstance": resource(
            "EC2::Instance",
            {
                "ImageId": ref("NatImage"),
                "InstanceType": "t4g.nano",
                "SourceDestCheck": False,
                "NetworkInterfaces": [
                    {
                        "DeviceIndex": "0",
                        "SubnetId": ref("PublicSubnetA"),
                        "GroupSet": [att("NatSecurityGroup", "GroupId")],
                        "AssociatePublicIpAddress": True,
                    }
                ],
                "MetadataOptions": {"HttpTokens": "required"},
                "BlockDeviceMappings": [
                    {"DeviceName": "/dev/xvda", "Ebs": {"VolumeType": "gp3", "Encrypted": True}}
                ],
                "UserData": {"Fn::Base64": sub(_NAT_SCRIPT)},
                "Tags": tag("nat"),
            },
            DependsOn=["PublicRoute", "PublicRoutesOfA"],
        ),
        # The first instance reports that it forwards, or its stack is not created. A later one does not.
        "NatStarted": resource("CloudFormation::WaitConditionHandle", {}),
        "NatStart": resource(
            "CloudFormation::WaitCondition",
            {"Handle": ref("NatStarted"), "Timeout": str(_NAT_START_SECONDS), "Count": 1},
            DependsOn="NatInstance",
        ),
    }
    return {name: {**part, "Condition": "HasNatInstance"} for name, part in result.items()}
