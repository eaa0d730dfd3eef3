"""Networks: which addresses are of the internet at large, and which lie nearby."""

import socket
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address

_GLOBAL_UNICAST = ip_network("2000::/3")  # all of IPv6 that was ever given out
_NAT64 = ip_network("64:ff9b::/96")
# Global by the registry, and yet answered by a machine nearby.
_NEARBY = (
    ip_network("168.63.129.16/32"),  # the host beneath a machine of Azure
    ip_network("192.0.0.0/24"),  # the next gateway (RFC 7723, RFC 8155)
    ip_network("192.88.99.0/24"),  # the next 6to4 relay (RFC 7526)
    ip_network("3fff::/20"),  # documentation, which older versions of Python do not know
)


def public(address: Address) -> bool:
    """Whether an address is one of the internet at large, and so is all that it carries within."""
    carried = _carried(address)
    if carried:
        return all(map(public, carried))
    if address.version == 6 and address not in _GLOBAL_UNICAST:
        return False
    special = address.is_multicast or any(address in network for network in _NEARBY)
    return address.is_global and not special


def own(address: Address) -> bool:
    """Whether an address is this machine's loopback."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _carried(address: Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses within, to which a system or a relay would send what is for this one."""
    if isinstance(address, IPv4Address):
        return ()
    translated = IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
    within = (address.ipv4_mapped, address.sixtofour, translated, *(address.teredo or ()))
    return tuple(each for each in within if each is not None)


def is_evidently_private(host: str) -> bool:
    """Whether a host is no public one, as can be told without looking it up."""
    try:
        return not public(ip_address(host))
    except ValueError:
        pass
    try:
        return not public(IPv4Address(socket.inet_aton(host)))  # 127.1 and its kind
    except (OSError, UnicodeError):
        return host == "localhost" or host.endswith(".localhost")


@lru_cache(256)  # asked several times of each call
def is_loopback(host: str) -> bool:
    """Whether who listens on `host` is reached from this machine alone."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
