# mypy: ignore-errors
"""The client's SSH agent inside a container: a socket there, whose requests go to standard output and whose answers
come from standard input. Runs there, by whatever Python 3 the image has: standard library only.

An agent's protocol is one answer to each request, so that those of all who ask can go one after the other. Its socket
is removed with it.
"""

import os
import shutil
import socket
import struct
import tempfile
import threading

HEAD = struct.Struct("!I")
MOST = 1 << 18  # as OpenSSH's agent


def exactly(read, size):
    """So many bytes; EOFError where there are fewer."""
    found = b""
    while len(found) < size:
        more = read(size - len(found))
        if not more:
            raise EOFError
        found += more
    return found


def frame(read):
    """One message of the protocol, with its length."""
    head = exactly(read, HEAD.size)
    size = HEAD.unpack(head)[0]
    if size > MOST:
        raise EOFError
    return head + exactly(read, size)


def serve(client, turn, over):
    """Everything that one who connected asks for."""
    with client:
        try:
            while True:
                request = frame(client.recv)
                with turn:
                    os.write(1, request)
                    answer = frame(lambda size: os.read(0, size))
                client.sendall(answer)
        except EOFError:
            pass
        except OSError:
            over.set()


def main():
    """Until standard input ends."""
    folder = tempfile.mkdtemp(prefix="bareboat-agent-")
    turn = threading.Lock()
    over = threading.Event()
    try:
        path = folder + "/agent"
        listening = socket.socket(socket.AF_UNIX)
        os.umask(0o177)
        listening.bind(path)
        listening.listen(16)
        os.write(1, b"bareboat agent 1\n" + path.encode() + b"\n")

        def accept():
            while True:
                client = listening.accept()[0]
                threading.Thread(target=serve, args=(client, turn, over), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        ending(turn, over)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def ending(turn, over):
    """Until standard input is at its end, which is looked for while nobody waits for an answer."""
    import select

    poll = select.poll()
    poll.register(0, select.POLLHUP)
    while not over.is_set() and not poll.poll(500):
        pass


if __name__ == "__main__":
    main()
    os._exit(0)
