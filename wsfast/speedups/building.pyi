from typing_extensions import Buffer

__all__ = ["build_frame"]

def build_frame(first_byte: int, payload: Buffer, masking_key: bytes | None = None) -> bytes: ...
