"""Pages of lists in the API: they lead from one to the next, and never count what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import CursorPagination

if TYPE_CHECKING:
    from rest_framework.request import Request

NO_CURSOR = "This is no cursor. Take it from `next` or `previous` of an answer, as it is."


class Pages(CursorPagination):
    """Pages of `limit` rows that stay where they are while rows come and go."""

    page_size: int | None = 50
    page_size_query_param = "limit"
    max_page_size = 500

    def get_page_size(self, request: Request) -> int | None:
        given = request.query_params.get(self.page_size_query_param)
        if given is not None and not (given.isascii() and given.isdecimal() and int(given[:9])):
            raise ValidationError({self.page_size_query_param: ["This must be at least 1."]})
        return super().get_page_size(request)

    def decode_cursor(self, request: Request) -> Any:
        """Whatever is no cursor of ours is 400: a database may fail on what it would ask."""
        try:
            cursor = super().decode_cursor(request)
            if cursor is not None:
                if not (cursor.position or cursor.offset or cursor.reverse):
                    raise ValueError(cursor)  # noqa: TRY301 - as for one that cannot be read
                self.check_position(str(cursor.position or ""))
        except (NotFound, ValueError) as error:
            raise ValidationError({self.cursor_query_param: [NO_CURSOR]}) from error
        return cursor

    def check_position(self, position: str) -> None:
        """Raises ValueError for one that no row has."""
        if "\0" in position:
            raise ValueError(position)


class PagesIfAsked(Pages):
    """A whole list, as scripts read it, unless the query has a `limit` (or the cursor of one)."""

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> Any:
        if not {self.page_size_query_param, self.cursor_query_param} & request.query_params.keys():
            return None
        self.ordering = (view.permission_model.identity, "managed_source")
        return super().paginate_queryset(queryset, request, view)

    def get_ordering(self, request: Request, queryset: Any, view: Any) -> Any:
        del request, queryset, view
        return self.ordering

    def get_paginated_response_schema(self, schema: Any) -> Any:
        return {"oneOf": [schema, super().get_paginated_response_schema(schema)]}
