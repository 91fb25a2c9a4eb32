"""Layers put on one another in memory, with whiteouts and links, before anything is written (layer.md). Pure.

Paths go through symbolic links as they would in the finished system, but only in this model: nothing on a disk is
followed. What an entry replaces is as in Docker: a directory over a directory takes its mode, all else goes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bareboat.errors import ArchiveError
from bareboat.image.layerlist import DIRECTORY, HARDLINK, OPAQUE, SYMLINK, WHITEOUT, LayerEntry

_HOPS = 40  # links on one way, as the kernel's
_STEPS = 20_000_000  # parts of links' targets walked in all: an honest image stays a thousand times below
_IMPLIED = LayerEntry(DIRECTORY, "", 0o755, mtime=-1)  # a parent that no layer lists


class Node:
    """What lies at a path: the layer that put it there, its entry and the layer of its content, and a directory's
    children. swept: the last layer that has removed, or could not have removed, what lower ones had in it.
    """

    __slots__ = ("children", "entry", "layer", "source", "swept")

    def __init__(self, entry: LayerEntry, layer: int) -> None:
        self.entry, self.layer, self.source, self.swept = entry, layer, layer, layer
        self.children: dict[str, Node] | None = {} if entry.kind == DIRECTORY else None


class Merge:
    """A tree being decided. apply() each layer bottom to top, then drop() paths, then nodes().

    most: nodes that may be made in all; depth: of a path, links followed. Beyond, ArchiveError "layer.entries",
    "layer.depth". What no system could unpack: "layer.clash", "layer.link".
    """

    def __init__(self, most: int = 4_000_000, depth: int = 256) -> None:
        self.root = Node(_IMPLIED, -1)
        self._most, self._depth, self._count, self._steps = most, depth, 0, 0
        self._last: tuple[str, Node | None] = "", None  # of the entry before: most come directory by directory
        self._where = ""

    def apply(self, layer: int, entries: Iterable[LayerEntry], where: str) -> None:
        """Put a layer on what is there. Whiteouts remove what lower layers brought, wherever they stand."""
        self._where = where
        self._last = "", None
        for entry in entries:
            kind = entry.kind
            if kind == WHITEOUT:
                self._remove(entry.path, layer)
            elif kind == OPAQUE:
                node = self._walk(entry.path, layer, False)
                if node is not None:
                    self._sweep(node, layer)
            elif entry.path:
                self._put(entry, layer)
            elif kind == DIRECTORY:
                self.root.entry = entry
            else:
                raise self._refuse("clash", "the root is no directory", "")

    def drop(self, paths: Iterable[str]) -> None:
        """Leave out what lies at these paths, directories with all that is in them; no error when there is nothing."""
        self._last = "", None
        for path in paths:
            head, _, name = path.strip("/").rpartition("/")
            parent = self._walk(head, -1, False)
            if parent is not None and parent.children is not None:
                parent.children.pop(name, None)

    def nodes(self) -> Iterator[tuple[str, Node]]:
        """Every path and its node in order, parents before children; "" is the root's."""
        pending = [("", self.root)]
        while pending:
            path, node = pending.pop()
            yield path, node
            if node.children:
                prefix = f"{path}/" if path else ""
                pending.extend((prefix + name, child) for name, child in sorted(node.children.items(), reverse=True))

    def _put(self, entry: LayerEntry, layer: int) -> None:
        head, _, name = entry.path.rpartition("/")
        last, parent = self._last
        if parent is None or head != last:
            parent = self._walk(head, layer, True)
            assert parent is not None
            self._last = head, parent
        assert parent.children is not None
        present = parent.children.get(name)
        if entry.kind == DIRECTORY and present is not None and present.children is not None:
            present.entry, present.layer = entry, layer
            return
        if entry.kind == HARDLINK:
            node = self._linked(entry, layer)
            if node.entry is (present and present.entry):
                return  # a link to itself
        else:
            node = Node(entry, layer)
        if present is not None and (present.children is not None or present.entry.kind == SYMLINK):
            self._last = "", None
        self._made(entry.path)
        parent.children[name] = node

    def _linked(self, entry: LayerEntry, layer: int) -> Node:
        """A second name for what the link means: a file, a symbolic link or a device, here or in a lower layer."""
        head, _, name = entry.link.rpartition("/")
        parent = self._walk(head, layer, False)
        target = parent.children.get(name) if parent is not None and parent.children is not None else None
        if target is None or target.children is not None:
            raise self._refuse("link", f"a hard link to {entry.link[:200]!r}, which is no file", entry.path)
        node = Node(target.entry, layer)
        node.source = target.source
        return node

    def _remove(self, path: str, layer: int) -> None:
        head, _, name = path.rpartition("/")
        parent = self._walk(head, layer, False)
        node = parent.children.get(name) if parent is not None and parent.children is not None else None
        if parent is None or parent.children is None or node is None:
            return
        self._sweep(node, layer)
        if node.layer != layer and not node.children:
            self._last = "", None
            del parent.children[name]

    def _sweep(self, node: Node, layer: int) -> None:
        """Remove what lower layers had in a directory; what this layer put there stays. Once for each in a layer."""
        if node.children is None or node.swept == layer:
            return
        node.swept = layer
        self._last = "", None
        for name, child in list(node.children.items()):
            self._sweep(child, layer)
            if child.layer != layer and not child.children:
                del node.children[name]

    def _walk(self, path: str, layer: int, make: bool) -> Node | None:
        """The directory that a path means, its links followed inside the root; None unless there or to be made."""
        todo = path.split("/")[::-1]
        above = [self.root]
        hops = 0
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                above = above[:-1] or above
                continue
            children = above[-1].children
            assert children is not None
            child = children.get(part)
            if child is None:
                if not make:
                    return None
                self._made(path)
                child = children[part] = Node(_IMPLIED, layer)
            if child.children is not None:
                above.append(child)
                if len(above) > self._depth:
                    raise self._refuse("depth", f"over {self._depth} directories deep, links followed", path)
            elif child.entry.kind == SYMLINK:
                parts = child.entry.link.split("/")
                hops += 1
                self._steps += len(parts)
                if hops > _HOPS or self._steps > _STEPS:
                    raise self._refuse("link", "too many symbolic links on the way", path)
                if parts[0] == "":
                    above = [self.root]
                todo.extend(reversed(parts))
            elif make:
                raise self._refuse("clash", "a file stands where a directory is meant", path)
            else:
                return None
        return above[-1]

    def _made(self, path: str) -> None:
        self._count += 1
        if self._count > self._most:
            raise self._refuse("entries", f"the image has over {self._most:,} entries", path)

    def _refuse(self, code: str, what: str, path: str) -> ArchiveError:
        return ArchiveError(f"layer.{code}", what, where=f"{self._where}: /{path[:200]}",
                            hint="the image is malformed or malicious; nothing of it is kept")
