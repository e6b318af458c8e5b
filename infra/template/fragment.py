"""The fragment as a whole."""

from chalice.app import Chalice

from infra import functions as table
from infra.template import alarms, api, dashboard, database, functions, messaging, network, stages
from infra.template.words import Json


def fragment(app: Chalice, stage: str) -> Json:
    """Make all that the template of a stage has beside what Chalice makes of an app."""
    present = table.of(app)
    return {
        "Parameters": stages.parameters(stage),
        "Mappings": stages.mappings(),
        "Conditions": stages.conditions(),
        "Resources": {
            **network.network(),
            **database.database(),
            **messaging.messaging(),
            **functions.jwt_secret(),
            **functions.functions(present),
            **api.api(app, present),
            **alarms.alarms(present),
            **dashboard.dashboard(present),
        },
        "Outputs": api.outputs(),
    }
