from typing import Any

import numpy as np
from typing_extensions import Buffer

__all__ = ["FRAME_FIELDS", "scan_frames"]

FRAME_FIELDS: list[tuple[str, str]]

def scan_frames(buffer: Buffer) -> np.ndarray[tuple[int], np.dtype[Any]]: ...
