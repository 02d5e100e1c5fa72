"""Where a call comes from: networks that are configured, and a small shipped table of places.

- The longest prefix decides; what nobody has configured or listed is its /16 (IPv6: its /48).
- The address is that of the connection's peer, as the decision point has it. An IPv4 address in an
  IPv6 one (mapped, RFC 4291 section 2.5.5.2; translated, RFC 6052) is that IPv4 address; the zone
  of a link (RFC 4007) is no part of it.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

SHIPPED: Final[Mapping[str, str]] = {
    "127.0.0.0/8": "this machine",
    "::1/128": "this machine",
    "10.0.0.0/8": "a private network",
    "172.16.0.0/12": "a private network",
    "192.168.0.0/16": "a private network",
    "fc00::/7": "a private network",
    "169.254.0.0/16": "a link",
    "fe80::/10": "a link",
    "100.64.0.0/10": "a carrier's network",
    "192.0.2.0/24": "an example",
    "198.51.100.0/24": "an example",
    "203.0.113.0/24": "an example",
    "2001:db8::/32": "an example",
}
"""Blocks with a meaning of their own (RFC 6890). Countries and providers are the operator's to
configure: tables of them age, and an agent's own networks are what matters."""

NOWHERE: Final = "nowhere"
"""The place of an address that is none."""

_TRANSLATED: Final = IPv6Network("64:ff9b::/96")
_PREFIXES: Final = {4: 16, 6: 48}


class Places:
    """Names for networks."""

    def __init__(self, networks: Mapping[str, str]) -> None:
        """Take the configured networks, CIDR -> name; they go before the shipped ones.

        Raises:
            ValueError: one is no network.
        """
        table = [(ip_network(cidr), name) for cidr, name in {**SHIPPED, **networks}.items()]
        self._table = sorted(table, key=lambda row: -row[0].prefixlen)
        self.place = lru_cache(maxsize=4096)(self._place)

    def _place(self, address: str) -> str:
        try:
            found = _meant(ip_address(address.partition("%")[0]))
        except ValueError:
            return NOWHERE
        for network, name in self._table:
            if found in network:
                return name
        wide: IPv4Network | IPv6Network = ip_network(
            f"{found}/{_PREFIXES[found.version]}", strict=False
        )
        return str(wide)


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _TRANSLATED:
        return IPv4Address(address.packed[-4:])
    return address
