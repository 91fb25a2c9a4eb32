"""The grammar of -p."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.errors import UsageError
from bareboat.verbs.publish import parse_publish
from bareboat.workload import Port


@pytest.mark.parametrize(("text", "ports"), [
    ("8000", (Port(0, 8000),)),
    ("8080:8000", (Port(8080, 8000),)),
    (":8000", (Port(0, 8000),)),
    ("0.0.0.0:8080:8000/tcp", (Port(8080, 8000, "0.0.0.0"),)),
    ("0.0.0.0::8000", (Port(0, 8000, "0.0.0.0"),)),
    ("[::1]:8080:8000", (Port(8080, 8000, "::1"),)),
    ("8000-8001:9000-9001", (Port(8000, 9000), Port(8001, 9001))),
    ("9000-9001", (Port(0, 9000), Port(0, 9001))),
])
def test_what_docker_takes(text: str, ports: tuple[Port, ...]) -> None:
    assert parse_publish(text) == ports


@pytest.mark.parametrize("text", [
    "", "x", "0", "65536", "1:2:3", "8080:", "8000-8001:9000", "9-8", "53:53/udp", "1.2.3:4:5", "999.1.1.1:8:8", "-1",
    "1-65535", "8000 ", "localhost:1:1", "1:1/sctp", "99999999999999999999:1"])
def test_what_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_publish(text)
    assert error.value.code == "usage.port"


@given(st.text("0123456789.:-/[]tcpud", max_size=24))
def test_any_text_is_ports_or_an_error(text: str) -> None:
    try:
        ports = parse_publish(text)
    except UsageError:
        return
    assert ports and all(0 <= p.host < 65536 and 0 < p.inside < 65536 and p.address for p in ports)
