from typing import final

from wsfast.endpoint import Endpoint

__all__ = ["EchoEndpoint"]

@final
class EchoEndpoint(Endpoint): ...
