"""The table of the judges: whose tests are run, from which sdist, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["JUDGES", "Judge"]


class Judge(NamedTuple):
    """A library's own tests.

    Attributes:
        name: of the row; judges of one library share its environment.
        version: the release that is installed.
        arguments: for pytest: which tests, and what its own settings lack or have too much.
        sha256: of the sdist with the tests.
        requirements: what the tests need beyond the library.
        library: its name on the package index; "" if it is `name`.
        tests: the release whose sdist has the tests, if it is not `version`.
        checkout: an environment variable with the directory of a checkout to take instead.
        directory: where pytest starts, below the unpacked sdist. Not where the library's package
            lies: that copy would be tested, not the installed one.
        patches: what wsfast must have patched for it; empty: the library.
        environment: variables of the run.
        amend: adds files that the sdist forgot, below its directory.
        seconds: for one run, at most.
    """

    name: str
    version: str
    arguments: str
    sha256: str = ""
    requirements: tuple[str, ...] = ()
    library: str = ""
    tests: str = ""
    checkout: str = ""
    directory: str = "."
    patches: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}
    amend: Callable[[Path], None] | None = None
    seconds: float = 300

    @property
    def package(self) -> str:
        """The library's name on the package index."""
        return self.library or self.name

    @property
    def patched(self) -> tuple[str, ...]:
        """What wsfast must have patched."""
        return self.patches or (self.package,)


def amend_websockets(source: Path) -> None:
    """Write the helpers that the sdist forgot, and the names that later releases dropped."""
    tests = source / "tests"
    (tests / "extensions").mkdir()
    (tests / "extensions" / "__init__.py").touch()
    (tests / "__init__.py").write_text(
        "from websockets import frames\n\n"
        "for each in frames.Opcode:\n"
        "    setattr(frames, f'OP_{each.name}', each)\n"
        "    frames.__all__.append(f'OP_{each.name}')\n",
        encoding="utf-8",
    )
    (tests / "utils.py").write_text(
        "import unittest\n\n\n"
        "class GeneratorTestCase(unittest.TestCase):\n"
        "    def assertGeneratorRunning(self, generator):\n"
        "        next(generator)\n\n"
        "    def assertGeneratorReturns(self, generator):\n"
        "        with self.assertRaises(StopIteration) as stopped:\n"
        "            next(generator)\n"
        "        return stopped.exception.value\n",
        encoding="utf-8",
    )
    (tests / "extensions" / "utils.py").write_text(
        "import dataclasses\n\n\n"
        "class Rsv2Extension:\n"
        "    name = 'x-rsv2'\n\n"
        "    def decode(self, frame, *, max_size=None):\n"
        "        assert frame.rsv2\n"
        "        return dataclasses.replace(frame, rsv2=False)\n\n"
        "    def encode(self, frame):\n"
        "        assert not frame.rsv2\n"
        "        return dataclasses.replace(frame, rsv2=True)\n",
        encoding="utf-8",
    )


WEBSOCKETS = ("pytest", "trio", "python-socks", "werkzeug")
AUTOBAHN = ("pytest", "twisted", "pytest-asyncio")
AUTOBAHN_SHA256 = "6c69fca89106567060941c5568e67a5369738813d883db4e3d62b76f0a2c497e"

JUDGES = (
    Judge(
        name="websockets",  # the newest sdist that has tests: of its sans-I/O core
        version="17.4",
        tests="16.1.1",
        sha256="db234eda965dcce15df96bb9709f587cd87d4d52aaf0e80e2f34ec04c7670c57",
        requirements=WEBSOCKETS,
        amend=amend_websockets,
        arguments="tests/test_frames.py tests/test_protocol.py tests/test_streams.py"
        " tests/test_utils.py",
    ),
    Judge(
        name="websockets-checkout",  # all of them, which only its repository has
        library="websockets",
        version="17.4",
        requirements=WEBSOCKETS,
        checkout="WSFAST_JUDGE_WEBSOCKETS",
        arguments="tests",
        seconds=900,
    ),
    Judge(
        name="wsproto",
        version="1.3.2",
        sha256="b86885dcf294e15204919950f666e06ffc6c7c114ca900b060d6e16293528294",
        requirements=("pytest",),
        arguments="tests",
    ),
    Judge(
        name="aiohttp",
        version="3.14.5",
        sha256="5558a7f5a05af9ecf744af91e5baefc436f93c9333e656c27ec253f9a6bbe178",
        requirements=(
            *(
                "blockbuster",
                "coverage",
                "freezegun",
                "isal",
                "proxy.py",
                "pytest",
                "pytest-codspeed",
            ),
            *("pytest-mock", "pytest-timeout", "python-on-whales", "trustme", "zlib_ng"),
        ),
        directory="tests",
        arguments="-m 'not dev_mode and not autobahn and not internal'"
        " test_websocket_parser.py test_websocket_writer.py test_websocket_data_queue.py"
        " test_websocket_handshake.py test_client_ws.py test_client_ws_functional.py"
        " test_web_websocket.py test_web_websocket_functional.py",
    ),
    Judge(
        name="tornado",
        version="6.6.1",
        sha256="28e6311402af59c8b02e3fa0f5e7d8eb465b25081381803b127d97e6a4395d5a",
        requirements=("pytest", "hypothesis"),
        directory="docs",
        environment={"JUDGE_QUIET": "tornado.access"},
        arguments="--pyargs tornado.test.websocket_test tornado.test.property_test",
    ),
    Judge(
        name="websocket-client",
        version="1.9.2",
        sha256="0fcb57545848be86992e128218fd96dd87a6769ffdb1a968dff79632b85604d0",
        requirements=("pytest", "websockets", "python-socks"),
        directory="examples",
        arguments="--pyargs websocket.tests",
    ),
    Judge(
        name="autobahn",
        version="26.10.2",
        sha256=AUTOBAHN_SHA256,
        requirements=AUTOBAHN,
        directory="docs",
        environment={"USE_TWISTED": "1"},
        arguments="--pyargs autobahn.websocket autobahn.nvx"
        " autobahn.twisted.test.test_tx_protocol",
    ),
    Judge(
        name="autobahn-asyncio",
        library="autobahn",
        version="26.10.2",
        sha256=AUTOBAHN_SHA256,
        requirements=AUTOBAHN,
        directory="docs",
        environment={"USE_ASYNCIO": "1"},
        arguments="--pyargs autobahn.websocket autobahn.nvx"
        " autobahn.asyncio.test.test_aio_websocket",
    ),
    Judge(
        name="uvicorn",
        version="0.54.0",
        sha256="a2e33cbfaa0306f8e6b0c13e0cb89d7d7a2da3e62b90c66e18c33d9807b28620",
        requirements=(
            *("a2wsgi", "cryptography", "httptools", "httpx2", "pytest", "pytest-codspeed"),
            *("pytest-mock", "trustme", "websockets", "wsproto"),
        ),
        patches=("websockets", "wsproto"),
        arguments="tests/protocols/test_websocket.py",
    ),
    Judge(
        name="simple-websocket",
        version="1.1.0",
        sha256="7939234e7aa067c534abdab3a9ed933ec9ce4691b0713c78acb195560aa52ae4",
        requirements=("pytest",),
        patches=("wsproto",),
        environment={"JUDGE_NAMES": "example.com"},
        arguments="tests",
    ),
    Judge(
        name="trio-websocket",
        version="0.12.2",
        sha256="22c72c436f3d1e264d0910a3951934798dcc5b00ae56fc4ee079d46c7cf20fae",
        requirements=("pytest", "pytest-trio", "trustme"),
        patches=("wsproto",),
        directory="tests",
        arguments="-o trio_mode=true .",
    ),
    Judge(
        name="httpx-ws",
        version="0.9.0",
        sha256="797373326f70eec1ae96f6e43ae9f12002fd7d73aee139a4985eaab964338a08",
        requirements=("pytest", "starlette", "trio", "uvicorn[standard]"),
        patches=("wsproto", "websockets"),
        arguments="tests",
    ),
    Judge(
        name="paho-mqtt",
        version="2.2.0",
        sha256="bcf706f03f1f49e0fc3ae166dc7b67ee35463496f8bdfd7c9c36181f6ba635c9",
        requirements=("pytest",),
        arguments="tests -k 'websocket or Websocket'",
    ),
    Judge(
        name="hypercorn",
        version="0.18.0",
        sha256="d63267548939c46b0247dc8e5b45a9947590e35e64ee73a23c074aa3cf88e9da",
        requirements=(
            *("httpx", "hypothesis", "mock", "pytest", "pytest-asyncio", "pytest-trio", "trio"),
        ),
        patches=("wsproto",),
        arguments="tests -k 'ws or websocket'",
    ),
    Judge(
        name="ws4py",
        version="0.6.0",
        sha256="9f87b19b773f0a0744a38f3afa36a803286dd3197f0bb35d9b75293ec7002d19",
        requirements=("gevent", "pytest", "tornado"),
        directory="test",
        arguments=". --ignore test_cherrypy.py",
    ),
    Judge(
        name="eventlet",
        version="0.41.3",
        sha256="66d1883f276e94d040d007e99d7085e6aa5f2738c5b8783d165a137050dc8fb6",
        requirements=("pytest",),
        arguments="tests/websocket_new_test.py tests/websocket_test.py",
    ),
    Judge(
        name="lomond",
        version="0.3.4",
        sha256="250202a83ba45e3b265bf5dfef4db54d9c46b981230579dbe3b453dad320ba71",
        requirements=("freezegun", "pytest", "pytest-mock", "six", "tornado"),
        directory="tests",
        arguments=". --ignore test_live.py --ignore test_proxy.py",
    ),
    Judge(
        name="websockify",
        version="0.13.0",
        sha256="9969731116653226c4c499a8a50712c8f3f7c105c615ead7ebc6ae781f0ba954",
        requirements=("pytest",),
        directory="tests",
        arguments="test_websocket.py test_websocketproxy.py test_websockifyserver.py",
    ),
)
