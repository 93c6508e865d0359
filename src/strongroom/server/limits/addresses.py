"""Whose address it is: the peer's, or what trusted proxies say of it; and what addresses of one client have in common.

Nothing in here believes a header unless the peer itself is a proxy that the settings name; then hops are read from the
right, since everything further left was written by whoever is left of it.
"""

import ipaddress
import re
from collections.abc import Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MOST_HOPS = 16  # that are read; whoever comes through more proxies of ours is taken for the last one that was read

_NETWORK = 64  # bits of an IPv6 address: every host may choose the others by itself
_WITH_PORT = re.compile(r"\[([0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?|([0-9.]{7,15}):[0-9]{1,5}", re.ASCII)


def read_networks(text: str) -> tuple[Network, ...]:
    """Read networks, or single addresses, between commas or blanks.

    Raises:
        ValueError: one is none, or has bits beside its mask.
    """
    return tuple(ipaddress.ip_network(part) for part in text.replace(",", " ").split())


def address_of(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """Return the address of whoever sent a request, in its one spelling; "" if even the peer has none.

    Args:
        peer: the other end of the connection.
        forwarded: the values of all headers `X-Forwarded-For`, in order.
        trusted: networks of proxies that add the address of who asked them at the right end of it.
    """
    reached = _read(peer)
    if reached is None:
        return ""
    if not _inside(reached, trusted):
        return str(reached)
    hops = ",".join(forwarded).rsplit(",", MOST_HOPS)[-MOST_HOPS:]
    for text in reversed(hops):
        hop = _read(text)
        if hop is None:  # what a proxy of ours did not write: the proxy itself is all that is known
            break
        reached = hop
        if not _inside(hop, trusted):
            break
    return str(reached)


def of_one_hand(host: str) -> str:
    """Return what addresses of one client have in common: IPv4 whole, IPv6 its /64.

    Raises:
        ValueError: not an address.
    """
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, _NETWORK), strict=False))


def counted(address: str) -> str:
    """Return what an address is counted as; what is none is counted together."""
    try:
        return of_one_hand(address)
    except ValueError:
        return ""


def _inside(address: ipaddress.IPv4Address | ipaddress.IPv6Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _read(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    text = text.strip(" \t")
    match = _WITH_PORT.fullmatch(text)
    try:
        address = ipaddress.ip_address((match[1] or match[2]) if match else text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
