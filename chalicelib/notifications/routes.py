"""HTTP for the in-app inbox."""

from uuid import UUID

from chalicelib.notifications import service
from chalicelib.notifications.schemas import Notification, NotificationQuery
from chalicelib.notifications.service import NoSuchNotification
from chalicelib.web.http import Answer, Request
from chalicelib.web.paging import list_answer
from chalicelib.web.router import Router

routes = Router("notifications")


@routes.get("/notifications", who="signed in", answers={200: list[Notification]})
def list_notifications(request: Request, query: NotificationQuery) -> Answer:
    """List one's inbox, newest first."""
    page = query.page(query.sort)
    with request.transaction() as session:
        part = service.list_notifications(session, request.signed_in().user_id, page, unread=query.unread)
    return list_answer(request, page, part)


@routes.post(
    "/notifications/{notificationId}/read",
    who="signed in",
    answers={204: None},
    refuses=(NoSuchNotification,),
)
def read_notification(request: Request, notification_id: UUID) -> Answer:
    """Mark a notification as read; again is the same."""
    with request.transaction() as session:
        service.mark_read(session, request.signed_in().user_id, notification_id, request.now)
    return Answer(204)
