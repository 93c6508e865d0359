"""How routes describe themselves in OpenAPI: from the same shapes that check what arrives, so neither can drift."""

from collections.abc import Mapping
from typing import Any

from strongroom.shapes import Choice, Integer, Object, Shape, Text
from strongroom.wire.problems import MEDIA_TYPE, TYPE_PREFIX

PROBLEM = Object(
    {
        "type": Text(80, f"{TYPE_PREFIX}[a-z-]+"),
        "title": Text(80),
        "status": Integer(400, 599),
        "code": Text(40, "[a-z-]+"),
        "instance": Text(64),
        "detail": Text(4096, least=0),
        "where": Text(4096, least=0),
        "next": Text(4096, least=0),
    },
    frozenset({"detail", "where", "next"}),
)
HEALTH = Object(
    {
        "status": Choice(("ok", "degraded")),
        "database": Choice(("ok", "degraded")),
        "vault": Choice(("ok", "degraded")),
        "trust": Choice(("ok", "expired")),
        "trust_version": Integer(1),
    }
)


def described(
    *,
    body: Shape | None = None,
    answer: Shape | None = None,
    status: int = 200,
    security: tuple[str, ...] = (),
    query: Mapping[str, Shape] | None = None,
) -> dict[str, Any]:
    """Return `openapi_extra` for one route.

    Args:
        body: shape of the request body, if there is one.
        answer: shape of the answer, if it has a body.
        status: status of success.
        security: names of the schemes that are all needed.
        query: query parameters, all optional.
    """
    success: dict[str, Any] = {"description": "Done"}
    if answer is not None:
        success["content"] = {"application/json": {"schema": answer.schema()}}
    problem = {"description": "Refused", "content": {MEDIA_TYPE: {"schema": PROBLEM.schema()}}}
    extra: dict[str, Any] = {"responses": {str(status): success, "4XX": problem, "5XX": problem}}
    if body is not None:
        extra["requestBody"] = {"required": True, "content": {"application/json": {"schema": body.schema()}}}
    if security:
        extra["security"] = [{name: [] for name in security}]
    if query:
        extra["parameters"] = [
            {"name": name, "in": "query", "required": False, "schema": shape.schema()} for name, shape in query.items()
        ]
    return extra


def secured(document: dict[str, Any], schemes: dict[str, dict[str, str]]) -> dict[str, Any]:
    """Add the security schemes to an OpenAPI document."""
    document.setdefault("components", {})["securitySchemes"] = schemes
    return document
