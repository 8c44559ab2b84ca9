from typing import NamedTuple

from typing_extensions import Buffer

__all__ = ["Header", "decode_header", "encode_header"]

class Header(NamedTuple):
    fin: bool
    rsv1: bool
    rsv2: bool
    rsv3: bool
    opcode: int
    masked: bool
    payload_length: int
    masking_key: bytes
    size: int

def decode_header(data: Buffer, offset: int = 0) -> Header | None: ...
def encode_header(
    opcode: int,
    payload_length: int,
    *,
    fin: bool = True,
    rsv1: bool = False,
    rsv2: bool = False,
    rsv3: bool = False,
    masking_key: Buffer | None = None,
) -> bytes: ...
