# mypy: ignore-errors
# ruff: noqa: UP004 - this file runs on any Python 3
"""File operations inside a container, asked over standard input, answered over standard output; runs there, as the
container's user, by whatever Python 3 the image has, and so alone: standard library only, nothing newer than 3.5.

A frame is two lengths (u32, network order), a JSON list and bytes. Requests are answered in their order.
"""

import errno
import json
import os
import stat
import struct
import sys

HEAD = struct.Struct("!II")
MOST = 1 << 22
HANDLES = 1000
PAGE = 200


class Files(object):
    """What is open, by number."""

    def __init__(self):
        self.files, self.listings, self.next = {}, {}, 1

    def _keep(self, table, value):
        if len(self.files) + len(self.listings) >= HANDLES:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        number = self.next
        self.next += 1
        table[number] = value
        return number

    def open(self, path, flags, mode, _data):
        fd = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, mode)
        try:
            kind = os.fstat(fd).st_mode
            if stat.S_ISDIR(kind):
                raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
            if not stat.S_ISREG(kind):  # a pipe would hold everything up, a device is nobody's file
                raise OSError(errno.EINVAL, "not a regular file")
            return [self._keep(self.files, fd)]
        except BaseException:
            os.close(fd)
            raise

    def close(self, number, _data):
        if number in self.listings:
            del self.listings[number]
        else:
            os.close(self.files.pop(number))

    def read(self, number, offset, size, _data):
        return b"" if size <= 0 else os.pread(self.files[number], min(size, MOST), offset)

    def write(self, number, offset, data):
        fd, view = self.files[number], memoryview(data)
        while view:
            done = os.pwrite(fd, view, offset)
            view, offset = view[done:], offset + done

    def fsync(self, number, _data):
        os.fsync(self.files[number])

    def stat(self, path, _data):
        return attributes(os.stat(path))

    def lstat(self, path, _data):
        return attributes(os.lstat(path))

    def fstat(self, number, _data):
        return attributes(os.fstat(self.files[number]))

    def setstat(self, target, follow, wanted, _data):
        """target: a path or a number; wanted: size, uid, gid, mode, atime, mtime (nanoseconds), each or null."""
        size, uid, gid, mode, atime, mtime = wanted
        at = self.files[target] if isinstance(target, int) else target
        more = {} if isinstance(target, int) or follow else {"follow_symlinks": False}
        if size is not None:
            os.truncate(at, size)
        if uid is not None or gid is not None:
            os.chown(at, -1 if uid is None else uid, -1 if gid is None else gid, **more)
        if mode is not None:
            os.chmod(at, mode & 0o7777, **more)
        if mtime is not None and atime is not None:
            os.utime(at, ns=(atime, mtime), **more)

    def list(self, path, _data):
        names = [".", "..", *os.listdir(path)]
        names.reverse()
        return [self._keep(self.listings, (path, names))]

    def next_names(self, number, _data):
        path, names = self.listings[number]
        found = []
        while names and len(found) < PAGE:
            name = names.pop()
            try:
                found.append([name, attributes(os.lstat(path + "/" + name))])
            except OSError:
                continue  # gone since
        return found

    def remove(self, path, _data):
        os.unlink(path)

    def mkdir(self, path, mode, _data):
        os.mkdir(path, mode)

    def rmdir(self, path, _data):
        os.rmdir(path)

    def realpath(self, path, _data):
        return [os.path.realpath(path)]

    def rename(self, old, new, replace, _data):
        if replace:
            os.rename(old, new)
            return
        try:  # as OpenSSH's server: without a window in which another's file could be replaced
            os.link(old, new, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EISDIR, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS):
                raise
            if os.path.lexists(new):
                raise OSError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
            os.rename(old, new)
        else:
            os.unlink(old)

    def readlink(self, path, _data):
        return [os.readlink(path)]

    def symlink(self, target, path, _data):
        os.symlink(target, path)

    def link(self, old, new, _data):
        os.link(old, new, follow_symlinks=False)

    def statvfs(self, path, _data):
        return space(os.statvfs(path))

    def fstatvfs(self, number, _data):
        return space(os.fstatvfs(self.files[number]))


def attributes(found):
    return [found.st_mode, found.st_size, found.st_uid, found.st_gid, found.st_nlink,
            found.st_atime_ns, found.st_mtime_ns]


def space(found):
    return [found.f_bsize, found.f_frsize, found.f_blocks, found.f_bfree, found.f_bavail, found.f_files,
            found.f_ffree, found.f_favail, found.f_fsid if hasattr(found, "f_fsid") else 0, found.f_flag,
            found.f_namemax]


def answer(files, request, data):
    """The answer to one request: a list, and bytes."""
    operation, words = request[0], request[1:]
    try:
        if operation.startswith("_") or not hasattr(Files, operation):
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        found = getattr(files, operation)(*words, data)
    except OSError as error:
        return ["error", error.errno or errno.EIO, error.strerror or str(error)], b""
    except KeyError:
        return ["error", errno.EBADF, os.strerror(errno.EBADF)], b""
    except (TypeError, ValueError, OverflowError) as error:  # a NUL in a path, a number that is too large
        return ["error", errno.EINVAL, str(error)], b""
    return (["ok"], found) if isinstance(found, bytes) else (["ok", found], b"")


def main():
    """Serve until standard input ends."""
    source, sink, files = sys.stdin.buffer, sys.stdout.buffer, Files()
    sink.write(b"bareboat files 1\n")
    sink.flush()
    while True:
        head = source.read(HEAD.size)
        if len(head) < HEAD.size:
            return
        lengths = HEAD.unpack(head)
        request = json.loads(source.read(lengths[0]).decode("ascii"))
        said, data = answer(files, request, source.read(lengths[1]))
        text = json.dumps(said).encode("ascii")
        sink.write(HEAD.pack(len(text), len(data)))
        sink.write(text)
        sink.write(data)
        sink.flush()


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, BrokenPipeError):
        os._exit(0)
