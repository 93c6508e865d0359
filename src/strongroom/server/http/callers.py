"""From headers to callers: takes each header at most once and leaves judging to `identify`."""

from starlette.requests import Request

from strongroom.errors import Code, DeniedError
from strongroom.server import identify
from strongroom.server.identify import DeviceCaller, UserCaller, Visit
from strongroom.server.office import Office
from strongroom.server.ports import Operator


def visit(office: Office, request: Request, base: str) -> Visit:
    """Describe a request to the use cases; asks the clock.

    Args:
        office: for its clock.
        request: the request.
        base: the API's public URL; the Host header is the client's to choose and is never used.
    """
    return Visit(office.now(), request.state.reference, request.method, base + request.url.path)


def demand_credentials(request: Request) -> None:
    """Refuse who does not even try, where the body has to be read first.

    Raises:
        DeniedError: UNAUTHENTICATED.
    """
    if "authorization" not in request.headers:
        raise DeniedError(Code.UNAUTHENTICATED, "authentication is needed", next_step="send an access token")


async def user(office: Office, request: Request, seen: Visit) -> UserCaller:
    """Identify a user who enrols a device. Raises as `identify.identify_user`."""
    return await identify.identify_user(office, seen, _single(request, "authorization"), _single(request, "dpop"))


async def device(office: Office, request: Request, seen: Visit, *, even_barred: bool = False) -> DeviceCaller:
    """Identify an enrolled device. Arguments and errors as those of `identify.identify_device`."""
    authorization, proof = _single(request, "authorization"), _single(request, "dpop")
    return await identify.identify_device(office, seen, authorization, proof, even_barred=even_barred)


async def operator(office: Office, request: Request) -> Operator:
    """Identify an operator. Raises as `identify.identify_operator`."""
    return await identify.identify_operator(office, _single(request, "authorization"), request.state.reference)


def _single(request: Request, name: str) -> str | None:
    values = request.headers.getlist(name)
    if len(values) > 1:  # two readers could each believe another one
        raise DeniedError(Code.UNAUTHENTICATED, "a header was sent twice", where=name)
    return values[0] if values else None
