"""/notifications: the in-app inbox."""

from uuid import UUID

from sqlalchemy import Connection

from chalicelib.api.routing import new_router
from chalicelib.api.schemas.notifications import Notification, NotificationQuery, notification_json
from chalicelib.notifications import inbox
from chalicelib.notifications.inbox import NoSuchNotification
from chalicelib.platform.http.pagination import list_response
from chalicelib.platform.http.request import Request, Response

routes = new_router("notifications", "The inbox.")


@routes.get("/notifications", auth="required", responses={200: list[Notification]})
def list_notifications(request: Request, connection: Connection, query: NotificationQuery) -> Response:
    """List your notifications, newest first."""
    page_request = query.page(query.sort)
    page = inbox.list_notifications(
        connection,
        request.require_caller().user_id,
        page_request,
        unread=query.unread,
        render=notification_json,
    )
    return list_response(request, page_request, page)


@routes.post(
    "/notifications/{notificationId}/read",
    auth="required",
    responses={204: None},
    errors=(NoSuchNotification,),
)
def read_notification(request: Request, connection: Connection, notification_id: UUID) -> Response:
    """Mark a notification as read. Repeating it changes nothing."""
    inbox.mark_read(connection, request.require_caller().user_id, notification_id, request.now)
    return Response(204)
