"""Paging: the query parameters that all lists share, and the headers that lead from page to page."""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlencode

from msgspec import Meta, Struct

from chalicelib.platform.database.listing import MAX_EXACT_TOTAL, Order, Page, PageRequest
from chalicelib.platform.errors import FieldError, InvalidInput
from chalicelib.platform.http.request import Request, Response

MAX_OFFSET = 10_000


class PageQuery(Struct, kw_only=True, rename="camel"):
    limit: Annotated[
        int,
        Meta(
            ge=1,
            le=100,
            description="Items a page.",
        ),
    ] = 20
    offset: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_OFFSET,
            description="Items to pass over.",
            extra={
                "message": f"must be a whole number from 0 to {MAX_OFFSET}; "
                "go deeper with `cursor`, from the Link header of the page before"
            },
        ),
    ] = 0
    order: Order | None = None
    cursor: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=4096,
                description="Where to go on, from the `next` link of the page before.",
                extra={"message": "must be a cursor from the Link header"},
            ),
        ]
        | None
    ) = None

    def page(self, sort: str) -> PageRequest:
        if self.cursor and self.offset:
            raise InvalidInput(
                errors=[FieldError("offset", "cannot be combined with cursor; give one of them")]
            )
        return PageRequest(
            sort=sort, limit=self.limit, offset=self.offset, order=self.order, cursor=self.cursor
        )


def list_response(request: Request, page: PageRequest, part: Page, *, public: bool = False) -> Response:
    """Answer a page with its total and links (RFC 8288)."""
    exact = part.total <= MAX_EXACT_TOTAL
    headers = {
        "X-Total-Count": str(part.total if exact else MAX_EXACT_TOTAL),
        "Link": _links(request, page, part),
    }
    if not exact:
        headers["X-Total-Count-Relation"] = "gte"
    return Response(200, part.items, headers, public=public)


def _links(request: Request, page: PageRequest, part: Page) -> str:
    base = {
        name: values[0] for name, values in request.parameters.items() if name not in {"offset", "cursor"}
    }
    targets: dict[str, Mapping[str, str]] = {"first": base}
    if page.offset:
        targets["prev"] = {**base, "offset": str(max(0, page.offset - page.limit))}
    if part.next_cursor:
        targets["next"] = {**base, "cursor": part.next_cursor}
    if part.total <= MAX_EXACT_TOTAL:
        last = max(0, part.total - 1) // page.limit * page.limit
        targets["last"] = {**base, "offset": str(last)} if last else base
    url = request.settings.public_url + request.path
    return ", ".join(
        f'<{url}{"?" + urlencode(target) if target else ""}>; rel="{relation}"'
        for relation, target in targets.items()
    )
