"""The database: its password, the PostgreSQL server, and the proxy that functions connect through."""

from infra.aws.template.cfn import (
    NO_VALUE,
    Json,
    allow,
    assumed_by,
    att,
    of_stage,
    policy,
    ref,
    resource,
    sub,
    tag,
    when,
)
from infra.aws.template.network import ANYWHERE, database_subnets, security_group, tcp
from infra.postgres_settings import SERVER_SETTINGS

_NAME = "booking"
"""Name of the database and of the role that owns it."""
_APP = "booking_app"
"""Name of the role of all functions but `migrate`, which creates it."""
_PORT = 5432
_MAJOR_VERSION = "18"
"""AWS chooses the minor version and upgrades it in the maintenance window."""
_PARAMETERS = {**SERVER_SETTINGS, "rds.force_ssl": "1"}
_MAX_STORAGE_GB = 1_000
_INITIAL_STORAGE_GB = 20
_AUTHORITY = "rds-ca-rsa2048-g1"
"""Signs the server's certificate, and is in `infra/aws/package/rds-ca.pem`."""
_BORROW_TIMEOUT_SECONDS = 8
"""Shorter than the app's own connection timeout, so that the proxy is the first to report a busy database."""


def resources() -> Json:
    return {
        "DatabaseSecret": _secret(_NAME, "User name and password of the database owner"),
        "AppDatabaseSecret": _secret(_APP, "User name and password of the database role of the functions"),
        **_security_groups(),
        "DatabaseSubnets": resource(
            "RDS::DBSubnetGroup",
            {
                "DBSubnetGroupDescription": "Subnets without a route to the internet",
                "SubnetIds": database_subnets(),
                "Tags": tag("database"),
            },
        ),
        **_server(),
        **{name: {**part, "Condition": "HasProxy"} for name, part in _proxy().items()},
    }


def owner_url() -> Json:
    """Return the DATABASE_URL of `migrate`."""
    return _url(_NAME, "DatabaseSecret")


def app_url() -> Json:
    """Return the DATABASE_URL of all other functions."""
    return _url(_APP, "AppDatabaseSecret")


def _url(user: str, secret: str) -> Json:
    """Return the URL of the database. Passwords have only letters and digits, so none is percent-encoded."""
    password = f"{{{{resolve:secretsmanager:${{{secret}}}:SecretString:password}}}}"
    host = when("HasProxy", att("DatabaseProxy", "Endpoint"), att("Database", "Endpoint.Address"))
    return sub(f"postgresql+pg8000://{user}:{password}@${{Host}}:{_PORT}/{_NAME}", Host=host)


def authorities(file: str) -> Json:
    """Return the DATABASE_CA_FILE: a public authority signs the proxy's certificate, RDS the server's."""
    return when("HasProxy", NO_VALUE, file)


def _secret(user: str, description: str) -> Json:
    return resource(
        "SecretsManager::Secret",
        {
            "Description": description,
            "GenerateSecretString": {
                "SecretStringTemplate": f'{{"username": "{user}"}}',
                "GenerateStringKey": "password",
                "PasswordLength": 40,
                "ExcludePunctuation": True,
            },
        },
        removal_policy="Retain",
    )


def _security_groups() -> Json:
    """Allow connections from functions to the proxy and from the proxy to the server, and no others.

    Without a proxy, functions connect to the server.
    """
    with_proxy = {
        "ProxySecurityGroup": security_group("Proxy: from functions, to the database"),
        **_connection("FunctionsToProxy", "FunctionsSecurityGroup", "ProxySecurityGroup"),
        **_connection("ProxyToDatabase", "ProxySecurityGroup", "DatabaseSecurityGroup"),
    }
    without_proxy = _connection("FunctionsToDatabase", "FunctionsSecurityGroup", "DatabaseSecurityGroup")
    return {
        "FunctionsSecurityGroup": security_group("Functions: to the database"),
        "EgressSecurityGroup": security_group(
            "Functions that call AWS or Stripe: to the internet",
            SecurityGroupEgress=[tcp(443, "AWS and Stripe", CidrIp=ANYWHERE)],
        ),
        "DatabaseSecurityGroup": security_group("Database: from the functions or their proxy"),
        **{name: {**part, "Condition": "HasProxy"} for name, part in with_proxy.items()},
        **{name: {**part, "Condition": "HasNoProxy"} for name, part in without_proxy.items()},
    }


def _connection(name: str, source: str, target: str) -> Json:
    source_id, target_id = att(source, "GroupId"), att(target, "GroupId")
    egress = tcp(_PORT, "PostgreSQL", GroupId=source_id, DestinationSecurityGroupId=target_id)
    ingress = tcp(_PORT, "PostgreSQL", GroupId=target_id, SourceSecurityGroupId=source_id)
    return {
        f"{name}Out": resource("EC2::SecurityGroupEgress", egress),
        f"{name}In": resource("EC2::SecurityGroupIngress", ingress),
    }


def _server() -> Json:
    return {
        "DatabaseParameters": resource(
            "RDS::DBParameterGroup",
            {
                "Description": f"PostgreSQL {_MAJOR_VERSION}: TLS only, time limits, no values in the log",
                "Family": f"postgres{_MAJOR_VERSION}",
                "Parameters": _PARAMETERS,
            },
        ),
        "Database": resource(
            "RDS::DBInstance",
            {
                "Engine": "postgres",
                "EngineVersion": _MAJOR_VERSION,
                "DBInstanceClass": of_stage("DatabaseClass"),
                "DBName": _NAME,
                "DBParameterGroupName": ref("DatabaseParameters"),
                "DBSubnetGroupName": ref("DatabaseSubnets"),
                "VPCSecurityGroups": [att("DatabaseSecurityGroup", "GroupId")],
                "MultiAZ": when("HasStandby", then=True, otherwise=False),
                "AvailabilityZone": when("HasStandby", NO_VALUE, att("PrivateSubnetA", "AvailabilityZone")),
                "PubliclyAccessible": False,
                "CACertificateIdentifier": _AUTHORITY,
                "MasterUsername": _NAME,
                "MasterUserPassword": sub(
                    "{{resolve:secretsmanager:${DatabaseSecret}:SecretString:password}}"
                ),
                "StorageType": "gp3",
                "AllocatedStorage": _INITIAL_STORAGE_GB,
                "MaxAllocatedStorage": _MAX_STORAGE_GB,
                "StorageEncrypted": True,
                "BackupRetentionPeriod": of_stage("BackupDays"),
                "CopyTagsToSnapshot": True,
                "DeletionProtection": of_stage("DeletionProtection"),
                "AutoMinorVersionUpgrade": True,
            },
            removal_policy="Snapshot",
        ),
    }


def _proxy() -> Json:
    return {
        "DatabaseProxyRole": resource(
            "IAM::Role",
            {
                "AssumeRolePolicyDocument": assumed_by("rds"),
                "Policies": [
                    {
                        "PolicyName": "secret",
                        "PolicyDocument": policy(
                            allow(
                                "secretsmanager:GetSecretValue",
                                [ref("DatabaseSecret"), ref("AppDatabaseSecret")],
                            )
                        ),
                    }
                ],
            },
        ),
        "DatabaseProxy": resource(
            "RDS::DBProxy",
            {
                "DBProxyName": sub("${AWS::StackName}"),
                "EngineFamily": "POSTGRESQL",
                "RequireTLS": True,
                "RoleArn": att("DatabaseProxyRole"),
                "VpcSubnetIds": database_subnets(),
                "VpcSecurityGroupIds": [att("ProxySecurityGroup", "GroupId")],
                "Auth": [
                    {
                        "AuthScheme": "SECRETS",
                        "SecretArn": ref(secret),
                        "IAMAuth": "DISABLED",
                        "ClientPasswordAuthType": "POSTGRES_SCRAM_SHA_256",
                    }
                    for secret in ("DatabaseSecret", "AppDatabaseSecret")
                ],
            },
        ),
        "DatabaseProxyTargets": resource(
            "RDS::DBProxyTargetGroup",
            {
                "DBProxyName": ref("DatabaseProxy"),
                "TargetGroupName": "default",
                "DBInstanceIdentifiers": [ref("Database")],
                "ConnectionPoolConfigurationInfo": {
                    "MaxConnectionsPercent": 90,
                    "MaxIdleConnectionsPercent": 50,
                    "ConnectionBorrowTimeout": _BORROW_TIMEOUT_SECONDS,
                },
            },
        ),
    }
