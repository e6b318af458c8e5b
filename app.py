"""The map: every route and trigger of the deployment."""

from datetime import UTC, datetime

from chalice.app import Chalice, CloudWatchEvent, Rate

from chalicelib import wiring
from chalicelib.bookings.routes import routes as bookings
from chalicelib.events.routes import routes as events
from chalicelib.users.routes import routes as users
from chalicelib.web import access_log, idempotency
from chalicelib.web.health import routes as health
from chalicelib.web.reference import reference
from chalicelib.web.router import render_chalice_answers

access_log.set_up()

app = Chalice(app_name="event-booking", configure_logs=False)
app.register_middleware(render_chalice_answers, "http")

features = [users, events, bookings, health]
routers = [*features, reference(features)]
for router in routers:
    app.register_blueprint(router.blueprint)


@app.schedule(Rate(1, unit=Rate.HOURS))
def forget_idempotency_keys(_event: CloudWatchEvent) -> None:
    """Delete the answers that no replay can ask for any more."""
    idempotency.forget_all(wiring.current().database, datetime.now(UTC))
