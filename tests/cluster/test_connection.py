"""Addresses at which there is no cluster, without Ray: real sockets of this machine."""

import importlib.machinery
import socket

import pytest

from cluster import connection
from resnet.errors import BenchmarkError
from tests.support.loopback import Site, serve


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray is looked for, and not imported."""
    spec = importlib.machinery.ModuleSpec("ray", None)
    monkeypatch.setattr(connection, "find_spec", lambda _: spec)


@pytest.mark.parametrize(
    "address", ["", "here", "10.0.0.5", "a b:1", "10.0.0.5:", "ray://a:1", ":1"]
)
def test_a_malformed_address(address: str) -> None:
    with pytest.raises(BenchmarkError, match=r"^CLUSTER is '.*': must be local, or HOST:PORT as"):
        connection.check_address(address)


@pytest.mark.parametrize("host", ["10.0.0..5", ".a", "a" * 64 + ".example"])
def test_a_host_name_that_no_host_can_have(host: str) -> None:
    with pytest.raises(BenchmarkError, match=rf"^CLUSTER={host}:6379: .*; is `ray start --head`"):
        connection.check_address(f"{host}:6379")


def test_a_port_where_nothing_or_another_program_answers() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(BenchmarkError, match=rf"^CLUSTER={address}: Connection refused; is `ray"):
        connection.check_address(address)
    with pytest.raises(BenchmarkError, match=r"^CLUSTER=127.0.0.1:99999: .*; is `ray start"):
        connection.check_address("127.0.0.1:99999")
    with Site(serve(b"a page")) as site:
        address = f"127.0.0.1:{site.server.server_port}"
        with pytest.raises(BenchmarkError, match=f"^CLUSTER={address}: what answers there is not"):
            connection.check_address(address)
    connection.check_address("local")
