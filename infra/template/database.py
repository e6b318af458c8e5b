"""The database: its secret, the server, and the proxy that all functions connect through."""

from chalicelib.migrations.role import SETTINGS
from infra.template.network import subnets
from infra.template.words import Json, allow, assumed_by, att, of_stage, policy, ref, resource, sub, tag, when

NAME = "booking"
"""Of the database, and of the role that owns it."""
PORT = 5432
MAJOR = "18"
"""AWS picks the minor version, and moves on to the next in the maintenance window."""


def database() -> Json:
    return {
        **_secret(),
        **_security_groups(),
        "DatabaseSubnets": resource(
            "RDS::DBSubnetGroup",
            {
                "DBSubnetGroupDescription": "Without a route out of the network",
                "SubnetIds": subnets("Database"),
                "Tags": tag("database"),
            },
        ),
        **_instance(),
        **_aurora(),
        **_proxy(),
    }


def url() -> Json:
    """Make DATABASE_URL. The password has letters and digits only, so that nothing is percent-encoded."""
    return sub(
        f"postgresql+pg8000://{NAME}:{{{{resolve:secretsmanager:${{DatabaseSecret}}:SecretString:password}}}}"
        f"@${{DatabaseProxy.Endpoint}}:{PORT}/{NAME}"
    )


def _secret() -> Json:
    return {
        "DatabaseSecret": resource(
            "SecretsManager::Secret",
            {
                "Description": "The role that owns the database",
                "GenerateSecretString": {
                    "SecretStringTemplate": f'{{"username": "{NAME}"}}',
                    "GenerateStringKey": "password",
                    "PasswordLength": 40,
                    "ExcludePunctuation": True,
                },
            },
            UpdateReplacePolicy="Retain",
            DeletionPolicy="Retain",
        )
    }


def _security_groups() -> Json:
    """Let functions reach the proxy, the proxy reach the server, and nobody anything else."""
    return {
        "FunctionsSecurityGroup": _closed_group("Functions: the proxy of the database"),
        "CallingOutSecurityGroup": resource(
            "EC2::SecurityGroup",
            {
                "GroupDescription": "Functions that call AWS or Stripe",
                "VpcId": ref("Vpc"),
                "SecurityGroupEgress": [
                    {
                        "Description": "AWS and Stripe",
                        "IpProtocol": "tcp",
                        "FromPort": 443,
                        "ToPort": 443,
                        "CidrIp": "0.0.0.0/0",
                    }
                ],
            },
        ),
        "ProxySecurityGroup": _closed_group("Proxy: from the functions, to the database"),
        "DatabaseSecurityGroup": _closed_group("Database: from the proxy"),
        **_path("FunctionsToProxy", "FunctionsSecurityGroup", "ProxySecurityGroup"),
        **_path("ProxyToDatabase", "ProxySecurityGroup", "DatabaseSecurityGroup"),
    }


def _closed_group(description: str) -> Json:
    """Make a group from which nothing goes out but by rules of their own; without a rule, all would."""
    nowhere = {"Description": "Nothing", "IpProtocol": "icmp", "FromPort": 252, "ToPort": 86}
    return resource(
        "EC2::SecurityGroup",
        {
            "GroupDescription": description,
            "VpcId": ref("Vpc"),
            "SecurityGroupEgress": [{**nowhere, "CidrIp": "255.255.255.255/32"}],
        },
    )


def _path(name: str, source: str, target: str) -> Json:
    ports = {"IpProtocol": "tcp", "FromPort": PORT, "ToPort": PORT, "Description": "PostgreSQL"}
    origin, end = att(source, "GroupId"), att(target, "GroupId")
    return {
        f"{name}Out": resource(
            "EC2::SecurityGroupEgress",
            {**ports, "GroupId": origin, "DestinationSecurityGroupId": end},
        ),
        f"{name}In": resource(
            "EC2::SecurityGroupIngress", {**ports, "GroupId": end, "SourceSecurityGroupId": origin}
        ),
    }


def _password() -> Json:
    return sub("{{resolve:secretsmanager:${DatabaseSecret}:SecretString:password}}")


_TLS_ONLY = {"rds.force_ssl": "1"}


def _instance() -> Json:
    return {
        "DatabaseParameters": resource(
            "RDS::DBParameterGroup",
            {
                "Description": "PostgreSQL 18, TLS only",
                "Family": f"postgres{MAJOR}",
                "Parameters": _TLS_ONLY,
            },
            Condition="HasInstance",
        ),
        "Database": resource(
            "RDS::DBInstance",
            {
                "Engine": "postgres",
                "EngineVersion": MAJOR,
                "DBInstanceClass": ref("DatabaseClass"),
                "DBName": NAME,
                "DBParameterGroupName": ref("DatabaseParameters"),
                "DBSubnetGroupName": ref("DatabaseSubnets"),
                "VPCSecurityGroups": [att("DatabaseSecurityGroup", "GroupId")],
                "MasterUsername": NAME,
                "MasterUserPassword": _password(),
                "StorageType": "gp3",
                "AllocatedStorage": ref("DatabaseGigabytes"),
                "MaxAllocatedStorage": 1000,
                "StorageEncrypted": True,
                "MultiAZ": when("HasStandby", then=True, otherwise=False),
                "PubliclyAccessible": False,
                "BackupRetentionPeriod": of_stage("BackupDays"),
                "CopyTagsToSnapshot": True,
                "DeletionProtection": of_stage("DeletionProtection"),
                "AutoMinorVersionUpgrade": True,
            },
            Condition="HasInstance",
            UpdateReplacePolicy="Snapshot",
            DeletionPolicy="Snapshot",
        ),
    }


def _aurora() -> Json:
    server = {
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
                "Description": "PostgreSQL 18, TLS only",
                "Family": f"aurora-postgresql{MAJOR}",
                "Parameters": _TLS_ONLY,
            },
            Condition="HasAurora",
        ),
        "DatabaseCluster": resource(
            "RDS::DBCluster",
            {
                "Engine": "aurora-postgresql",
                "EngineVersion": MAJOR,
                "DatabaseName": NAME,
                "DBClusterParameterGroupName": ref("DatabaseClusterParameters"),
                "DBSubnetGroupName": ref("DatabaseSubnets"),
                "VpcSecurityGroupIds": [att("DatabaseSecurityGroup", "GroupId")],
                "MasterUsername": NAME,
                "MasterUserPassword": _password(),
                "ServerlessV2ScalingConfiguration": {
                    "MinCapacity": 0.5,
                    "MaxCapacity": ref("DatabaseUnits"),
                },
                "StorageEncrypted": True,
                "BackupRetentionPeriod": of_stage("BackupDays"),
                "CopyTagsToSnapshot": True,
                "DeletionProtection": of_stage("DeletionProtection"),
            },
            Condition="HasAurora",
            UpdateReplacePolicy="Snapshot",
            DeletionPolicy="Snapshot",
        ),
        # The cluster has the data, and a policy of its own; its servers can go.
        "DatabaseWriter": resource(
            "RDS::DBInstance",
            server,
            Condition="HasAurora",
            UpdateReplacePolicy="Delete",
            DeletionPolicy="Delete",
        ),
        "DatabaseStandby": resource(
            "RDS::DBInstance",
            server,
            Condition="HasAuroraStandby",
            DependsOn="DatabaseWriter",
            UpdateReplacePolicy="Delete",
            DeletionPolicy="Delete",
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
        # A cluster without a server cannot be a target.
        "DatabaseClusterProxyTargets": {
            **_targets("HasAurora", DBClusterIdentifiers=[ref("DatabaseCluster")]),
            "DependsOn": "DatabaseWriter",
        },
    }


def _targets(condition: str, **servers: list[Json]) -> Json:
    pool = {
        "MaxConnectionsPercent": 90,
        "MaxIdleConnectionsPercent": 50,
        # Below the time that the app waits, so that the proxy is the one to say that the database is busy.
        "ConnectionBorrowTimeout": 8,
        # A role's settings count from the next session on, and the proxy keeps sessions for a day: those
        # from before the first migration have them from here.
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
