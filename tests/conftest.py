"""What every test starts from: the paths, hypothesis' profile, and a look at what a test left."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

__all__ = [
    "nothing_left_alive",
    "nothing_left_behind",
    "pytest_collection_finish",
    "pytest_configure",
    "pytest_report_header",
    "root",
]

ROOT = Path(__file__).resolve().parent.parent

# At the end, so that make asan can put another build of wsfast in front.
sys.path.append(str(ROOT))

#: Tests of these names and all of tests/system open sockets and loops: objects are counted.
WITH_SOCKETS = {
    *("poller", "selector", "files", "callback", "transport", "endpoint", "listener"),
    *("listening", "signals", "tracing", "drain", "worker", "supervisor", "logs", "serve"),
    *("server", "client", "asyncio", "echo", "loadgen"),
    *("opened", "opening", "tasks", "hosting", "hosted", "running", "metrics", "app"),
}

try:
    import hypothesis
except ModuleNotFoundError:  # the property tests then skip by name
    pass
else:
    # No deadline: on a shared machine a stalled example is no bug.
    hypothesis.settings.register_profile("wsfast", deadline=None, print_blob=True)
    hypothesis.settings.load_profile("wsfast")


def pytest_configure(config: pytest.Config) -> None:
    """Under make asan: stop if what would be tested is not the sanitized build."""
    if os.environ.get("WSFAST_SANITIZE"):
        binary = importlib.import_module("wsfast.mask").__file__ or ""
        if b"__asan_init" not in Path(binary).read_bytes():
            pytest.exit(f"{binary} is not built with WSFAST_SANITIZE", returncode=3)


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was collected lives to the end."""
    set_apart()


def pytest_report_header(config: pytest.Config) -> str:
    """Says which build of wsfast is tested."""
    spec = importlib.util.find_spec("wsfast")
    return f"wsfast: {spec.origin if spec else 'not installed'}"


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the checkout."""
    return ROOT


def open_descriptors() -> dict[str, str]:
    """Sockets, epoll sets, timers and event descriptors of this process: number to what it is."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:  # the descriptor of the listing itself
            continue
        if target.startswith(("socket:", "anon_inode:")):
            found[number] = target
    return found


def children() -> set[str]:
    """Process ids of the children that this thread started, the dead but unreaped included."""
    try:
        return set(Path("/proc/thread-self/children").read_text(encoding="ascii").split())
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN
        return set()


def set_apart() -> None:
    """Hide all that lives from collections: twenty thousand tests take a second to look at."""
    gc.collect()
    gc.freeze()


def live_objects() -> Counter[str]:
    """Selectors, and endpoints and other streams, that live and are not set apart, by class."""
    selector = sys.modules.get("wsfast.selector")
    if selector is None:
        return Counter()
    gc.collect()
    kinds = (selector.EpollSelector, selector.Stream)
    found = (type(each) for each in gc.get_objects())
    return Counter(each.__name__ for each in found if issubclass(each, kinds))


def new_descriptors(before: dict[str, str]) -> list[str]:
    """Descriptors opened since, once more after a collection: garbage is not yet a leak."""
    if open_descriptors().items() <= before.items():
        return []
    gc.collect()
    return [f"{fd} ({what})" for fd, what in open_descriptors().items() - before.items()]


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fails a test that leaves a descriptor of the loop's kind or a child process behind."""
    if not os.path.isdir("/proc/self/fd"):
        yield
        return
    descriptors, processes = open_descriptors(), children()
    yield
    left = new_descriptors(descriptors)
    left += [f"process {number}" for number in children() - processes]
    if left:
        pytest.fail(f"left behind: {', '.join(left)}")


@pytest.fixture(autouse=True, scope="module")
def nothing_left_alive(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a module whose tests leave a selector or an endpoint alive."""
    path = request.node.path
    if "system" not in path.parts and path.stem.split("_")[1] not in WITH_SOCKETS:
        yield
        return
    set_apart()
    yield
    left = live_objects()
    if left:
        pytest.fail(f"left alive: {dict(left)}")
