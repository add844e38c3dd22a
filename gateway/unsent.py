"""How much of what was written the other side has not taken yet: in the transport's buffer, and in the kernel's.

A slow receiver empties megabytes of kernel buffers before a transport may write again. That it takes anything shows in
the kernel's count alone (tcp(7), SIOCOUTQ), which other systems than Linux do not tell.
"""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

if sys.platform == "linux":
    import fcntl
    import termios

    def _in_kernel(transport: asyncio.Transport) -> int:
        sock = transport.get_extra_info("socket")
        if sock is None or sock.fileno() < 0:
            return 0
        try:
            return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0])
        except OSError:
            return 0

else:

    def _in_kernel(_transport: asyncio.Transport) -> int:
        return 0


def unsent(transport: asyncio.Transport) -> int:
    """Bytes. Where nothing is written meanwhile, less than before means that the other side took something."""
    return transport.get_write_buffer_size() + _in_kernel(transport)
