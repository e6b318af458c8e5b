"""The database: its password, the PostgreSQL server, and the proxy that functions connect through."""

from infra.aws.template.cfn import (
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
from infra.aws.template.network import ANYWHERE, security_group, subnets, tcp
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
_MIN_AURORA_UNITS = 0.5
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
                "SubnetIds": subnets("Database"),
                "Tags": tag("database"),
            },
        ),
        **_instance(),
        **_aurora(),
        **_proxy(),
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
    return sub(f"postgresql+pg8000://{user}:{password}@${{DatabaseProxy.Endpoint}}:{_PORT}/{_NAME}")


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
    """Allow connections from functions to the proxy and from the proxy to the server, and no others."""
    return {
        "FunctionsSecurityGroup": security_group("Functions: to the proxy"),
        "EgressSecurityGroup": security_group(
            "Functions that call AWS or Stripe: to the internet",
            SecurityGroupEgress=[tcp(443, "AWS and Stripe", CidrIp=ANYWHERE)],
        ),
        "ProxySecurityGroup": security_group("Proxy: from functions, to the database"),
        "DatabaseSecurityGroup": security_group("Database: from the proxy"),
        **_connection("FunctionsToProxy", "FunctionsSecurityGroup", "ProxySecurityGroup"),
        **_connection("ProxyToDatabase", "ProxySecurityGroup", "DatabaseSecurityGroup"),
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
    """Return the properties that an instance and an Aurora cluster share."""
    return {
        "EngineVersion": _MAJOR_VERSION,
        "DBSubnetGroupName": ref("DatabaseSubnets"),
        "MasterUsername": _NAME,
        "MasterUserPassword": sub("{{resolve:secretsmanager:${DatabaseSecret}:SecretString:password}}"),
        "StorageEncrypted": True,
        "BackupRetentionPeriod": of_stage("BackupDays"),
        "CopyTagsToSnapshot": True,
        "DeletionProtection": of_stage("DeletionProtection"),
    }


def _instance() -> Json:
    return {
        "DatabaseParameters": resource(
            "RDS::DBParameterGroup",
            {
                "Description": f"PostgreSQL {_MAJOR_VERSION}: TLS only, time limits, no values in the log",
                "Family": f"postgres{_MAJOR_VERSION}",
                "Parameters": _PARAMETERS,
            },
            Condition="HasInstance",
        ),
        "Database": resource(
            "RDS::DBInstance",
            {
                **_server(),
                "Engine": "postgres",
                "DBInstanceClass": ref("DatabaseClass"),
                "DBName": _NAME,
                "DBParameterGroupName": ref("DatabaseParameters"),
                "VPCSecurityGroups": [att("DatabaseSecurityGroup", "GroupId")],
                "StorageType": "gp3",
                "AllocatedStorage": ref("DatabaseGigabytes"),
                "MaxAllocatedStorage": _MAX_STORAGE_GB,
                "MultiAZ": when("HasStandby", then=True, otherwise=False),
                "PubliclyAccessible": False,
                "AutoMinorVersionUpgrade": True,
            },
            Condition="HasInstance",
            removal_policy="Snapshot",
        ),
    }


def _aurora() -> Json:
    instance = {
        "Engine": "aurora-postgresql",
        "DBInstanceClass": "db.serverless",
        "DBClusterIdentifier": ref("DatabaseCluster"),
        "DBSubnetGroupName": ref("DatabaseSubnets"),
        "PubliclyAccessible": False,
        "AutoMinorVersionUpgrade": True,
    }
    return {
        "DatabaseClusterParameters": resource(
            "RDS::DBClusterParameterGroup",
            {
                "Description": f"PostgreSQL {_MAJOR_VERSION}: TLS only, time limits, no values in the log",
                "Family": f"aurora-postgresql{_MAJOR_VERSION}",
                "Parameters": _PARAMETERS,
            },
            Condition="HasAurora",
        ),
        "DatabaseCluster": resource(
            "RDS::DBCluster",
            {
                **_server(),
                "Engine": "aurora-postgresql",
                "DatabaseName": _NAME,
                "DBClusterParameterGroupName": ref("DatabaseClusterParameters"),
                "VpcSecurityGroupIds": [att("DatabaseSecurityGroup", "GroupId")],
                "ServerlessV2ScalingConfiguration": {
                    "MinCapacity": _MIN_AURORA_UNITS,
                    "MaxCapacity": ref("DatabaseUnits"),
                },
            },
            Condition="HasAurora",
            removal_policy="Snapshot",
        ),
        # The cluster holds the data; its instances can be deleted.
        "DatabaseWriter": resource(
            "RDS::DBInstance", instance, Condition="HasAurora", removal_policy="Delete"
        ),
        "DatabaseStandby": resource(
            "RDS::DBInstance",
            instance,
            Condition="HasAuroraStandby",
            DependsOn="DatabaseWriter",
            removal_policy="Delete",
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
                "VpcSubnetIds": subnets("Database"),
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
        "DatabaseProxyTargets": _targets("HasInstance", DBInstanceIdentifiers=[ref("Database")]),
        # A cluster without an instance cannot be a target.
        "DatabaseClusterProxyTargets": {
            **_targets("HasAurora", DBClusterIdentifiers=[ref("DatabaseCluster")]),
            "DependsOn": "DatabaseWriter",
        },
    }


def _targets(condition: str, **servers: list[Json]) -> Json:
    pool = {
        "MaxConnectionsPercent": 90,
        "MaxIdleConnectionsPercent": 50,
        "ConnectionBorrowTimeout": _BORROW_TIMEOUT_SECONDS,
    }
    return resource(
        "RDS::DBProxyTargetGroup",
        {
            "DBProxyName": ref("DatabaseProxy"),
            "TargetGroupName": "default",
            "ConnectionPoolConfigurationInfo": pool,
            **servers,
        },
        Condition=condition,
    )
