"""Who may ask a local server: whoever calls it by its name, and knows its token if it has one.

A page of another site cannot read what a server on this machine answers, unless its own name is
made to lead here (DNS rebinding); then the request has that name in ``Host``. It can send requests
all the same, which browsers mark by ``Origin`` or ``Sec-Fetch-Site``.
"""

from __future__ import annotations

import dataclasses
import hmac
import ipaddress
import re
import secrets
import socket
from collections.abc import Collection
from email.message import Message
from http.cookies import CookieError, SimpleCookie

#: names of this machine that no other can be meant by
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
#: addresses that stand for all of a machine
WILDCARDS = ("", "0.0.0.0", "::")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.\-]{1,253})(?::(\d{1,5}))?")


def is_loopback(host: str) -> bool:
    """Whether nothing but this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclasses.dataclass(frozen=True)
class Guard:
    """Refuses requests that are not meant for this server.

    :param port: the server's port
    :param names: names in lower case by which it may be called; addresses of six bytes in brackets
    :param any_address: whether it may be called by any address
    :param token: what a request has to know; empty for nothing
    """

    port: int
    names: Collection[str] = LOOPBACK
    any_address: bool = False
    token: str = ""

    @classmethod
    def make(cls, host: str, port: int) -> Guard:
        """Make the guard of a server; one that others can reach has a token.

        :param host: address or name that it is bound to
        :param port: the server's port
        """
        if is_loopback(host):
            return cls(port, {*LOOPBACK, quote_host(host)})
        everywhere = host in WILDCARDS
        own = {socket.gethostname().lower()} if everywhere else {quote_host(host)}
        return cls(port, {*LOOPBACK, *own}, everywhere, secrets.token_urlsafe(24))

    @property
    def cookie(self) -> str:
        """Name of the cookie that holds the token; hosts share cookies among their ports."""
        return f"sb3_explain_{self.port}"

    def refuse(self, headers: Message, *, given: str = "", opened: bool = False) -> str:
        """Say why a request is refused; nothing if it is not.

        :param headers: headers of the request
        :param given: token in the address of the request
        :param opened: whether it is for the page itself, which a link of another page may open
        """
        hosts = headers.get_all("Host", [])
        if len(hosts) != 1 or not self._is_own(hosts[0]):
            return "this server is not called by that name: open the address that it has printed"
        origins = headers.get_all("Origin", [])
        if any(origin.lower() != f"http://{hosts[0].lower()}" for origin in origins):
            return "pages of other origins may not ask this server"
        site = headers.get("Sec-Fetch-Site", "none")
        if site not in ("same-origin", "none") and not opened:
            return "pages of other sites may not ask this server"
        if self.token and not self.knows_token(headers, given):
            return "the token is missing: open the whole address that the command has printed"
        return ""

    def knows_token(self, headers: Message, given: str = "") -> bool:
        """Whether a request has the token, in its address or in its cookie."""
        try:
            cookies = SimpleCookie(headers.get("Cookie", ""))
        except CookieError:
            cookies = SimpleCookie()
        held = cookies[self.cookie].value if self.cookie in cookies else ""
        known = self.token.encode()
        return any(
            hmac.compare_digest(known, one.encode("utf-8", "replace")) for one in (given, held)
        )

    def _is_own(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        if found is None or int(found[2] or 80) != self.port:
            return False
        name = found[1].lower()
        if self.any_address and is_address(name.strip("[]")):
            return True
        return name in self.names


def is_address(text: str) -> bool:
    """Whether a text is an address, not a name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def quote_host(host: str) -> str:
    """Write a name or address as it stands in an address of the web."""
    return f"[{host}]".lower() if ":" in host else host.lower()
