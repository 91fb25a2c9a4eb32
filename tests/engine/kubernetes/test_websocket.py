"""Frames and the handshake, held against websocket-client, which the official client speaks with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.engine.kubernetes.websocket import (
    BINARY,
    CLOSE,
    CONTINUED,
    MESSAGE_MOST,
    PING,
    TEXT,
    Broken,
    Frames,
    Message,
    accepted,
    frame,
    request,
)

KEY = b"the sample nonce"  # of section 1.3


def served(first: int, data: bytes) -> bytes:
    """A frame as a server sends it: not masked. first: flags and kind."""
    size = len(data)
    length = (bytes((size,)) if size < 126 else b"\x7e" + size.to_bytes(2, "big") if size < 1 << 16
              else b"\x7f" + size.to_bytes(8, "big"))
    return bytes((first,)) + length + data


@given(st.sampled_from([BINARY, TEXT, CLOSE, PING]), st.integers(0, 200), st.binary(min_size=4, max_size=4))
def test_a_frame_is_what_another_library_sends(kind: int, size: int, mask: bytes) -> None:
    from websocket import ABNF

    data = bytes(range(200))[:size]
    theirs = ABNF(1, 0, 0, 0, kind, 1, data)
    theirs.get_mask_key = lambda _length: mask  # type: ignore[method-assign,assignment]
    assert frame(kind, data, mask) == theirs.format()


@pytest.mark.parametrize("size", [125, 126, 65535, 65536, 70001])
def test_every_form_of_a_length(size: int) -> None:
    from websocket import ABNF

    data = b"x" * size
    theirs = ABNF(1, 0, 0, 0, BINARY, 1, data)
    theirs.get_mask_key = lambda _length: b"mask"  # type: ignore[method-assign,assignment]
    assert frame(BINARY, data, b"mask") == theirs.format()
    assert Frames().take(served(0x82, data)) == [Message(BINARY, data)]


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), st.integers(1, 50), st.booleans())
def test_messages_arrive_whole_however_the_bytes_are_cut(parts: list[bytes], step: int, pinged: bool) -> None:
    stream = b""
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        stream += served((0x80 if last else 0) | (CONTINUED if number else BINARY), part)
        stream += served(0x89, b"?") if pinged and not last else b""
    frames = Frames()
    found = [message for at in range(0, len(stream), step) for message in frames.take(stream[at:at + step])]
    assert [message.data for message in found if message.kind == BINARY] == [b"".join(parts)]
    assert sum(message.kind == PING for message in found) == (len(parts) - 1) * pinged


@pytest.mark.parametrize("stream", [
    b"\xc2\x01x", b"\x82\x81abcdx", b"\x83\x00", served(0x80, b"a part of nothing"),
    served(0x02, b"a") + served(0x82, b"b"), served(0x09, b""), served(0x89, b"x" * 126),
    b"\x82\x7f" + (MESSAGE_MOST + 1).to_bytes(8, "big"),
], ids=["reserved", "masked", "unknown", "part of none", "within another", "ping in parts", "long ping", "size"])
def test_what_no_server_may_send_is_no_message(stream: bytes) -> None:
    with pytest.raises(Broken):
        Frames().take(stream)


def test_a_message_without_an_end_does_not_fill_the_memory() -> None:
    frames = Frames()
    frames.take(served(0x02, b""))
    with pytest.raises(Broken):
        for _ in range(20):
            frames.take(served(0x00, b"x" * (1 << 20)))


@given(st.binary(max_size=60))
def test_whatever_comes_is_messages_or_broken(data: bytes) -> None:
    try:
        Frames().take(data)
    except Broken:
        pass


def test_the_handshake_is_the_samples() -> None:
    """RFC 6455, section 1.3: this nonce and this answer."""
    sent = request("server.example.com", "/chat?a=b", KEY, ("one", "two"), {"Authorization": "Bearer x"}).decode()
    assert sent.startswith("GET /chat?a=b HTTP/1.1\r\nHost: server.example.com\r\n") and sent.endswith("\r\n\r\n")
    assert "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" in sent and "Sec-WebSocket-Protocol: one, two\r\n" in sent
    good = {"upgrade": "WebSocket", "sec-websocket-accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}
    assert accepted(KEY, good)
    for wrong in ({}, {**good, "upgrade": "h2c"}, {**good, "sec-websocket-accept": "AAAA"}):
        assert not accepted(KEY, wrong)
