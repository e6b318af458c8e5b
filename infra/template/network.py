"""The network: private subnets in two zones, and the way out of them."""

from infra.template.words import NOTHING, Json, att, ref, resource, tag, when

ZONES = ("A", "B")

_RANGE = "10.0.0.0/16"
_SUBNETS = {
    "Public": ("10.0.0.0/24", "10.0.1.0/24"),
    "Database": ("10.0.8.0/24", "10.0.9.0/24"),
    "Private": ("10.0.64.0/20", "10.0.80.0/20"),
}
"""By kind, in each zone. Functions are in the private ones; those of the database have no route out."""

_EVERYWHERE = "0.0.0.0/0"

_MASQUERADE = """#!/bin/bash
set -e
dnf install -y iptables-services
echo net.ipv4.ip_forward=1 > /etc/sysctl.d/90-nat.conf
sysctl --system
out=$(ip route show default | awk '{print $5; exit}')
iptables -F FORWARD
iptables -t nat -A POSTROUTING -o "$out" -j MASQUERADE
iptables-save > /etc/sysconfig/iptables
systemctl enable iptables
"""
"""Makes a plain Amazon Linux a NAT instance, as the VPC user guide has it."""


def network() -> Json:
    return {
        "Vpc": resource(
            "EC2::VPC",
            {"CidrBlock": _RANGE, "EnableDnsSupport": True, "EnableDnsHostnames": True, "Tags": tag("vpc")},
        ),
        "InternetGateway": resource("EC2::InternetGateway", {"Tags": tag("internet")}),
        "InternetGatewayAttachment": resource(
            "EC2::VPCGatewayAttachment",
            {"VpcId": ref("Vpc"), "InternetGatewayId": ref("InternetGateway")},
        ),
        "PublicRoutes": _routes("public"),
        "PublicRoute": resource(
            "EC2::Route",
            {
                "RouteTableId": ref("PublicRoutes"),
                "DestinationCidrBlock": _EVERYWHERE,
                "GatewayId": ref("InternetGateway"),
            },
            DependsOn="InternetGatewayAttachment",
        ),
        **_zone(0),
        **_zone(1),
        **_nat_gateway("A", "HasNatGateway"),
        **_nat_gateway("B", "HasNatGatewayPerZone"),
        **_nat_instance(),
    }


def subnets(kind: str) -> list[Json]:
    return [ref(f"{kind}Subnet{zone}") for zone in ZONES]


def _zone(index: int) -> Json:
    zone = ZONES[index]
    made = {
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
    first = ref("NatGatewayA")
    gateway = first if index == 0 else when("HasNatGatewayPerZone", ref(f"NatGateway{zone}"), first)
    return made | {
        f"PublicRoutesOf{zone}": _association(f"PublicSubnet{zone}", "PublicRoutes"),
        f"PrivateRoutes{zone}": _routes(f"private-{zone.lower()}"),
        f"PrivateRoutesOf{zone}": _association(f"PrivateSubnet{zone}", f"PrivateRoutes{zone}"),
        f"PrivateRoute{zone}": resource(
            "EC2::Route",
            {
                "RouteTableId": ref(f"PrivateRoutes{zone}"),
                "DestinationCidrBlock": _EVERYWHERE,
                "InstanceId": when("HasNatInstance", ref("NatInstance")),
                "NatGatewayId": when("HasNatInstance", NOTHING, gateway),
            },
        ),
    }


def _routes(name: str) -> Json:
    return resource("EC2::RouteTable", {"VpcId": ref("Vpc"), "Tags": tag(name)})


def _association(subnet: str, routes: str) -> Json:
    return resource(
        "EC2::SubnetRouteTableAssociation", {"SubnetId": ref(subnet), "RouteTableId": ref(routes)}
    )


def _nat_gateway(zone: str, condition: str) -> Json:
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
    """Make an instance that nobody can log in to: a newer image replaces it at the next deployment."""
    made = {
        "NatSecurityGroup": resource(
            "EC2::SecurityGroup",
            {
                "GroupDescription": "NAT instance: HTTPS from the functions, HTTP and HTTPS to everywhere",
                "VpcId": ref("Vpc"),
                "SecurityGroupIngress": [
                    {
                        "Description": "What functions call",
                        "IpProtocol": "tcp",
                        "FromPort": 443,
                        "ToPort": 443,
                        "SourceSecurityGroupId": att("CallingOutSecurityGroup", "GroupId"),
                    }
                ],
                "SecurityGroupEgress": [
                    {
                        "Description": description,
                        "IpProtocol": "tcp",
                        "FromPort": port,
                        "ToPort": port,
                        "CidrIp": _EVERYWHERE,
                    }
                    for port, description in ((443, "What functions call"), (80, "Packages of its system"))
                ],
            },
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
                "UserData": {"Fn::Base64": _MASQUERADE},
                "Tags": tag("nat"),
            },
            DependsOn=["PublicRoute", "PublicRoutesOfA"],
        ),
    }
    return {name: {**part, "Condition": "HasNatInstance"} for name, part in made.items()}
