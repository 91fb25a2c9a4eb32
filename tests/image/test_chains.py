"""Ways through the graph of needs."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bareboat.image.chains import Graph, Node, chains


def graph(roots: dict[str, Node], **needs: tuple[Node, ...]) -> Graph:
    return Graph(tuple(roots.items()), needs, {"a": "1", "b": "2", "c": "3"})


def test_the_shortest_way_of_each_root() -> None:
    g = graph({"x": Node("a", (), ">=1"), "y": Node("c")}, a=(Node("b"), Node("c", (), "<4")), b=(Node("c"),))
    assert chains(g, "c", 9) == (("y", "c 3"), ("x", "a 1 (>=1)", "c 3 (<4)"))
    assert chains(g, "c", 1) == (("y", "c 3"),)
    assert chains(g, "nowhere", 9) == ()
    assert g.needed_by("c") == ("a", "b")


def test_an_extra_is_a_way_only_where_it_is_asked_for() -> None:
    needs = {"a": (Node("b", when="fast"),), "b": (Node("c"),)}
    assert chains(graph({"x": Node("a")}, **needs), "c", 9) == ()
    assert chains(graph({"x": Node("a", ("fast",))}, **needs), "c", 9) == (("x", "a[fast] 1", "b 2", "c 3"),)
    through = graph({"x": Node("d")}, d=(Node("a"), Node("a", ("fast",))), **needs)
    assert chains(through, "b", 9) == (("x", "d", "a[fast] 1", "b 2"),)


names = st.sampled_from("abcdefgh")


@given(st.dictionaries(names, st.lists(names, max_size=4)), names, names)
def test_every_way_is_one_and_ends_whatever_the_circles(edges: dict[str, list[str]], root: str, name: str) -> None:
    needs = {k: tuple(Node(n) for n in v) for k, v in edges.items()}
    reached, todo = {root}, [root]
    while todo:
        for n in edges.get(todo.pop(), []):
            if n not in reached:
                reached.add(n)
                todo.append(n)
    found = chains(Graph((("r", Node(root)),), needs, {}), name, 3)
    assert bool(found) == (name in reached)
    for way in found:
        steps = way[1:]
        assert steps[0] == root and steps[-1] == name and len(set(steps)) == len(steps)
        assert all(b in edges[a] for a, b in pairwise(steps))
