"""Pagination: the query parameters and the response headers of lists."""

from collections.abc import Mapping, Sequence
from typing import Annotated
from urllib.parse import urlencode

from msgspec import Meta, Struct

from chalicelib.platform.database.listing import MAX_EXACT_TOTAL, Order, Page, PageRequest
from chalicelib.platform.errors import FieldError, InvalidInput
from chalicelib.platform.http.request import Request, Response

MAX_OFFSET = 10_000


Cursor = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=4096,
        description="The position to continue from, as in the `next` and `prev` links.",
        extra={"message": "must be a cursor from the Link header"},
    ),
]


class PageQuery(Struct, kw_only=True, rename="camel"):
    limit: Annotated[
        int,
        Meta(
            ge=1,
            le=100,
            description="Items per page.",
        ),
    ] = 20
    offset: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_OFFSET,
            description="Items to skip.",
            extra={
                "message": f"must be a whole number from 0 to {MAX_OFFSET}; "
                "to go further, use the `cursor` of the `next` link"
            },
        ),
    ] = 0
    order: Order | None = None
    cursor: Cursor | None = None

    def page(self, sort: str) -> PageRequest:
        if self.cursor and self.offset:
            raise InvalidInput(errors=[FieldError("offset", "cannot be combined with cursor")])
        return PageRequest(
            sort=sort, limit=self.limit, offset=self.offset, order=self.order, cursor=self.cursor
        )


def list_response(
    request: Request, page_request: PageRequest, page: Page, *, public: bool = False
) -> Response:
    """Respond with a page, its total and its links (RFC 8288)."""
    exact = page.total <= MAX_EXACT_TOTAL
    headers = {
        "X-Total-Count": str(page.total if exact else MAX_EXACT_TOTAL),
        "Link": _links(request, page_request, page),
    }
    if page.next_cursor:
        headers["X-Next-Cursor"] = page.next_cursor
    if not exact:
        headers["X-Total-Count-Relation"] = "gte"
    return Response(200, page.items, headers, public=public)


def _links(request: Request, page_request: PageRequest, page: Page) -> str:
    base = {name: values for name, values in request.parameters.items() if name not in {"offset", "cursor"}}
    targets: dict[str, Mapping[str, str | Sequence[str]]] = {"first": base}
    if page.previous_cursor:
        targets["prev"] = {**base, "cursor": page.previous_cursor}
    elif page_request.offset:
        targets["prev"] = {**base, "offset": str(max(0, page_request.offset - page_request.limit))}
    if page.next_cursor:
        targets["next"] = {**base, "cursor": page.next_cursor}
    if page.total <= MAX_EXACT_TOTAL:
        last = max(0, page.total - 1) // page_request.limit * page_request.limit
        targets["last"] = {**base, "offset": str(last)} if last else base
    url = request.settings.public_url + request.path
    return ", ".join(
        f'<{url}{"?" + urlencode(target, doseq=True) if target else ""}>; rel="{relation}"'
        for relation, target in targets.items()
    )
