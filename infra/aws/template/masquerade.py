"""Makes a Linux machine forward packets under its own address: a NAT instance.

It runs on the instance at each start, with the Python 3.9 of Amazon Linux 2023 and nothing else: the image
has neither nft nor iptables, and a t4g.nano has too little memory to install them. It asks the kernel for
what `nft` would:

    table ip nat { chain postrouting { type nat hook postrouting priority srcnat; masquerade } }

The numbers are from linux/netlink.h, linux/netfilter/nfnetlink.h and linux/netfilter/nf_tables.h.
"""

import os
import socket
import struct
from pathlib import Path

_NETLINK_NETFILTER = 12
_REQUEST, _ACK, _CREATE, _APPEND = 0x1, 0x4, 0x400, 0x800
_BATCH_BEGIN, _BATCH_END = 16, 17
_NFTABLES = 10
_NEW_TABLE, _DELETE_TABLE, _NEW_CHAIN, _NEW_RULE = (_NFTABLES << 8 | number for number in (0, 2, 3, 6))
_IPV4 = 2
_ERROR = 2
_POST_ROUTING, _SOURCE_NAT = 4, 100
_NESTED = 0x8000


def _attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + bytes(-length % 4)


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack(">I", value))


def _nested(kind: int, *attributes: bytes) -> bytes:
    return _attribute(kind | _NESTED, b"".join(attributes))


def _message(kind: int, flags: int, *attributes: bytes, family: int = _IPV4, resource: int = 0) -> bytes:
    body = struct.pack(">BBH", family, 0, resource) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), kind, _REQUEST | flags, 0, 0) + body


def _transaction() -> list[bytes]:
    """Return the messages that replace the table, all or none."""
    table = _text(1, "nat")
    hook = _nested(4, _number(1, _POST_ROUTING), _number(2, _SOURCE_NAT))
    masquerade = _nested(4, _nested(1, _text(1, "masq"), _nested(2)))
    return [
        _message(_NEW_TABLE, _ACK | _CREATE, table),
        _message(_DELETE_TABLE, _ACK, table),
        _message(_NEW_TABLE, _ACK | _CREATE, table),
        _message(_NEW_CHAIN, _ACK | _CREATE, table, _text(3, "postrouting"), hook, _text(7, "nat")),
        _message(_NEW_RULE, _ACK | _CREATE | _APPEND, table, _text(2, "postrouting"), masquerade),
    ]


def masquerade() -> None:
    """Replace the sender of forwarded packets.

    Raises:
        OSError: The kernel refused.
    """
    messages = _transaction()
    batch = [
        _message(_BATCH_BEGIN, 0, family=0, resource=_NFTABLES),
        *messages,
        _message(_BATCH_END, 0, family=0, resource=_NFTABLES),
    ]
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as kernel:
        kernel.settimeout(10)
        kernel.bind((0, 0))
        kernel.send(b"".join(batch))
        acknowledged = 0
        while acknowledged < len(messages):
            received = kernel.recv(65536)
            while received:
                length, kind = struct.unpack_from("=IH", received)
                code = struct.unpack_from("=i", received, 16)[0] if kind == _ERROR else 0
                if code:
                    raise OSError(-code, os.strerror(-code))
                acknowledged += 1
                received = received[length + -length % 4 :]


if __name__ == "__main__":
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    masquerade()
