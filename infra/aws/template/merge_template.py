"""The template file that `chalice package --merge-template` merges into the one it makes."""

from chalice.app import Chalice

from infra.aws import function_table
from infra.aws.template import (
    alarms,
    api_gateway,
    cdn,
    dashboard,
    database,
    firewall,
    lambdas,
    logs,
    messaging,
    network,
    stages,
)
from infra.aws.template.cfn import Json


def merge_template(app: Chalice, stage: str) -> Json:
    """Return all parts of a stage's template that Chalice does not make."""
    functions = function_table.deployed(app)
    return {
        "Parameters": stages.parameters(stage),
        "Mappings": stages.mappings(),
        "Conditions": stages.conditions(),
        "Resources": {
            **network.resources(),
            **database.resources(),
            **messaging.resources(),
            **lambdas.resources(functions),
            **api_gateway.resources(app, functions),
            **firewall.resources(),
            **cdn.resources(),
            **logs.resources(functions),
            **alarms.resources(app),
            **dashboard.resources(functions),
        },
        "Outputs": {**api_gateway.outputs(), **cdn.outputs(), **alarms.outputs()},
    }
