"""From headers to callers: takes each header at most once and leaves judging to `identify`."""

from starlette.requests import Request

from strongroom.errors import Code, DeniedError
from strongroom.server import identify, limited
from strongroom.server.identify import DeviceCaller, UserCaller, Visit
from strongroom.server.limits.rates import By
from strongroom.server.office import Office
from strongroom.server.ports import Operator
from strongroom.server.watching import judging


def visit(office: Office, request: Request, base: str) -> Visit:
    """Describe a request to the use cases; asks the clock.

    Args:
        office: for its clock.
        request: the request.
        base: the API's public URL; the Host header is the client's to choose and is never used.
    """
    state, url = request.state, base + request.url.path
    return Visit(office.now(), state.reference, request.method, url, state.address, state.route)


def demand_credentials(request: Request) -> None:
    """Refuse who does not even try, where the body has to be read first.

    Raises:
        DeniedError: UNAUTHENTICATED.
    """
    if "authorization" not in request.headers:
        raise DeniedError(Code.UNAUTHENTICATED, "authentication is needed", next_step="send an access token")


async def user(office: Office, request: Request, seen: Visit) -> UserCaller:
    """Identify a user who enrols a device. Raises as `identify.identify_user`."""
    authorization, proof = _single(request, "authorization"), _single(request, "dpop")
    try:
        found = await identify.identify_user(office, seen, authorization, proof)
    except DeniedError:
        await judging.login_failed(office, authorization, seen)
        raise
    request.state.caller = found  # for `aftermath`
    return found


async def device(office: Office, request: Request, seen: Visit, *, even_barred: bool = False) -> DeviceCaller:
    """Identify an enrolled device. Arguments and errors as those of `identify.identify_device`."""
    authorization, proof = _single(request, "authorization"), _single(request, "dpop")
    found = await identify.identify_device(office, seen, authorization, proof, even_barred=even_barred)
    request.state.caller = found  # for `aftermath`
    return found


async def operator(office: Office, request: Request) -> Operator:
    """Identify an operator. Raises as `identify.identify_operator`, and LimitedError."""
    state = request.state
    found = await identify.identify_operator(office, _single(request, "authorization"), state.reference)
    state.caller = found  # for `aftermath`
    await limited.check(office, state.route, {By.USER: found.id}, state.reference)
    return found


def _single(request: Request, name: str) -> str | None:
    values = request.headers.getlist(name)
    if len(values) > 1:  # two readers could each believe another one
        raise DeniedError(Code.UNAUTHENTICATED, "a header was sent twice", where=name)
    return values[0] if values else None
