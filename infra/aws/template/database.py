"""The database: its password, the PostgreSQL server, and the proxy that functions connect through."""

from chalicelib.migrations.role import SETTINGS
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

_NAME = "booking"
"""Name of the database and of the role that owns it."""
_PORT = 5432
_MAJOR_VERSION = "18"
"""AWS chooses the minor version and upgrades it in the maintenance window."""
_TLS_ONLY = {"rds.force_ssl": "1"}
_MAX_STORAGE_GB = 1_000
_MIN_AURORA_UNITS = 0.5
_BORROW_TIMEOUT_SECONDS = 8
"""Shorter than the app's own connection timeout, so that the proxy is the first to report a busy database."""


def resources() -> Json:
    return {
        "DatabaseSecret": _secret(),
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


def url() -> Json:
    """Return DATABASE_URL. The password has only letters and digits, so it needs no percent-encoding."""
    return sub(
        f"postgresql+pg8000://{_NAME}:{{{{resolve:secretsmanager:${{DatabaseSecret}}:SecretString:password}}}}"
        f"@${{DatabaseProxy.Endpoint}}:{_PORT}/{_NAME}"
    )


def _secret() -> Json:
    return resource(
        "SecretsManager::Secret",
        {
            "Description": "User name and password of the database owner",
            "GenerateSecretString": {
                "SecretStringTemplate": f'{{"username": "{_NAME}"}}',
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
                "Description": f"PostgreSQL {_MAJOR_VERSION}, TLS only",
                "Family": f"postgres{_MAJOR_VERSION}",
                "Parameters": _TLS_ONLY,
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
                "Description": f"PostgreSQL {_MAJOR_VERSION}, TLS only",
                "Family": f"aurora-postgresql{_MAJOR_VERSION}",
                "Parameters": _TLS_ONLY,
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
                            allow("secretsmanager:GetSecretValue", ref("DatabaseSecret"))
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
                        "SecretArn": ref("DatabaseSecret"),
                        "IAMAuth": "DISABLED",
                        "ClientPasswordAuthType": "POSTGRES_SCRAM_SHA_256",
                    }
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
        # The role's settings apply to new sessions only, and the proxy keeps sessions for up to a day. This
        # query sets them in sessions opened before the first migration.
        "InitQuery": "; ".join(f"SET {name} = '{value}'" for name, value in SETTINGS.items()),
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
