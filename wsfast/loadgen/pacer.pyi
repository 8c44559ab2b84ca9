from wsfast.selector import EpollSelector, Stream

__all__ = ["Pacer"]

class Pacer(Stream):
    def __new__(cls, selector: EpollSelector, *args: object, **kwargs: object) -> Pacer: ...
    def close(self) -> None: ...
