"""The map: every route and trigger of the deployment."""

from chalice.app import Chalice

from chalicelib.bookings.routes import routes as bookings
from chalicelib.events.routes import routes as events
from chalicelib.users.routes import routes as users
from chalicelib.web import access_log
from chalicelib.web.health import routes as health
from chalicelib.web.reference import reference
from chalicelib.web.router import render_chalice_answers

access_log.set_up()

app = Chalice(app_name="event-booking", configure_logs=False)
app.register_middleware(render_chalice_answers, "http")

features = [users, events, bookings, health]
for feature in [*features, reference(features)]:
    app.register_blueprint(feature.blueprint)
