from typing import Any, final

__all__ = ["Names"]

@final
class Names:
    @property
    def loose(self) -> bool: ...
    @property
    def copied(self) -> bool: ...
    @property
    def frame_protocol(self) -> dict[str, Any]: ...
    @property
    def extensions(self) -> dict[str, Any]: ...
    process_buffer: Any
    process_frame: Any
    received_frames: Any
    send_data: Any
    serialize_frame: Any
    inbound_header: Any
    inbound_payload: Any
    inbound_complete: Any
    original_process_buffer: Any
    original_process_frame: Any
    original_serialize_frame: Any
