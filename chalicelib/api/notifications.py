"""/notifications: the in-app inbox."""

from uuid import UUID

from chalicelib.api.schemas.notifications import Notification, NotificationQuery
from chalicelib.notifications import inbox
from chalicelib.notifications.inbox import NoSuchNotification
from chalicelib.platform.http.pagination import list_response
from chalicelib.platform.http.request import Request, Response
from chalicelib.platform.http.router import Router

routes = Router("notifications")


@routes.get("/notifications", auth="required", responses={200: list[Notification]})
def list_notifications(request: Request, query: NotificationQuery) -> Response:
    """List one's inbox, newest first."""
    page = query.page(query.sort)
    with request.transaction() as connection:
        part = inbox.list_notifications(
            connection, request.require_caller().user_id, page, unread=query.unread
        )
    return list_response(request, page, part)


@routes.post(
    "/notifications/{notificationId}/read",
    auth="required",
    responses={204: None},
    errors=(NoSuchNotification,),
)
def read_notification(request: Request, notification_id: UUID) -> Response:
    """Mark a notification as read; again is the same."""
    with request.transaction() as connection:
        inbox.mark_read(connection, request.require_caller().user_id, notification_id, request.now)
    return Response(204)
