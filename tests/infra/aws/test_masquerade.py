"""The NAT instance's program, run by the kernel of this machine in a network of its own."""

import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from infra.aws.template import masquerade

CHECKOUT = Path(__file__).parents[3]
IN_OWN_NETWORK = ["unshare", "--map-root-user", "--net"]
TUN = Path("/dev/net/tun")
FUNCTION, NAT, STRIPE = "10.0.64.9", "192.0.2.7", "192.0.2.99"
_UDP = 17


def has_own_network() -> bool:
    try:
        return TUN.exists() and subprocess.run([*IN_OWN_NETWORK, "true"], check=False).returncode == 0  # noqa: S603
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not has_own_network(), reason="needs unshare and /dev/net/tun")
def test_forwarded_packets_get_the_address_of_the_instance() -> None:
    ran = subprocess.run(  # noqa: S603
        [*IN_OWN_NETWORK, sys.executable, "-m", __name__, masquerade.__file__],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.stdout.split(), ran.stderr) == ([NAT, STRIPE], "")


def _interface(name: str, address: str) -> int:
    """Make an interface whose packets this process reads and writes (linux/if_tun.h, netdevice(7))."""
    tun = os.open(TUN, os.O_RDWR)
    fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x1001))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for request, value in ((0x8916, address), (0x891C, "255.255.255.0")):
            argument = struct.pack("16sH2x4s8x", name.encode(), socket.AF_INET, socket.inet_aton(value))
            fcntl.ioctl(control, request, argument)
        fcntl.ioctl(control, 0x8914, struct.pack("16sH22x", name.encode(), 0x41))
    return tun


def _packet(source: str, target: str) -> bytes:
    datagram = struct.pack(">HHHH", 1024, 443, 8, 0)
    addresses = socket.inet_aton(source) + socket.inet_aton(target)
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(datagram), 1, 0, 64, _UDP, 0) + addresses
    total = sum(struct.unpack(">10H", header))
    checksum = ~(total % 0xFFFF) & 0xFFFF
    return header[:10] + struct.pack(">H", checksum) + header[12:] + datagram


def _forward(program: str) -> None:
    """Run the program twice, as after a restart, and print the addresses of a packet that it forwards."""
    inside, outside = _interface("inside", "10.0.64.1"), _interface("outside", NAT)
    for _ in range(2):
        subprocess.run([sys.executable, program], check=True)  # noqa: S603
    os.write(inside, _packet(FUNCTION, STRIPE))
    while select.select([outside], [], [], 5)[0]:
        packet = os.read(outside, 2048)
        if packet[0] == 0x45 and packet[9] == _UDP:
            print(socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20]))  # noqa: T201
            return


if __name__ == "__main__":
    _forward(sys.argv[1])
