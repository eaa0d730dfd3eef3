"""Draws docs/pictures/architecture.svg from the imports: `python -m tests.architecture`.

The levels are those of tests/test_rooms.py. Within one, a room stands above those of its level that
it imports. Arrows go from who imports to what is imported; one that follows from others is left
out, and so are imports for type checkers alone.
"""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from html import escape
from itertools import groupby
from pathlib import Path
from textwrap import wrap

from tests.test_rooms import LEVEL_OF, SOURCE, imports

PICTURE = Path(__file__).parent.parent / "docs" / "pictures" / "architecture.svg"
NAMES = ("words", "resources", "compute", "service", "http", "dialects", "assembly")

# All in px.
WIDTH, LABEL, MARGIN = 960, 96, 12
LINE, PADDING, LETTER = 16, 8, 7.3
BETWEEN_ROWS, BETWEEN_LEVELS = 20, 10
LETTERS = 52  # of a line of names

STYLE = (
    "text{font:12px ui-monospace,Menlo,Consolas,monospace;fill:#1f2328}"
    ".level{fill:#f6f8fa;stroke:#d1d9e0}"
    ".label{font-weight:bold;fill:#59636e}"
    ".file{fill:#fff;stroke:#818b98}"
    ".package{fill:#ddf4ff;stroke:#0969da}"
    ".arrow{fill:none;stroke:#818b98;stroke-width:1.2;marker-end:url(#head)}"
)
HEAD = (
    '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto"><path d="M0 0L8 4L0 8z" fill="#818b98"/></marker>'
)

Graph = Mapping[str, frozenset[str]]


@dataclass(frozen=True, order=True)
class Node:
    """A package by itself, or the single files that stand at one height."""

    #: Of the table of levels, 0 the lowest.
    level: int
    #: Rows above the level's lowest.
    height: int
    #: Of the rooms.
    names: tuple[str, ...]
    package: bool

    @property
    def lines(self) -> list[str]:
        """What stands in its box."""
        return wrap(" · ".join(self.names), LETTERS, break_on_hyphens=False)


@dataclass(frozen=True)
class Box:
    """Where a node is drawn, in px."""

    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        """Of its width."""
        return self.x + self.width / 2


class _Running(ast.NodeTransformer):
    """Leaves out what only type checkers import."""

    def visit_If(self, node: ast.If) -> ast.If | None:
        typing = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return None if typing else node


def rooms(source: Path) -> frozenset[str]:
    """The packages and single files of the package at `source`."""
    modules = (path.relative_to(source).with_suffix("").parts for path in source.rglob("*.py"))
    return frozenset(parts[0] for parts in modules)


def graph(source: Path) -> Graph:
    """By room, the rooms that it imports."""
    known, arrows = rooms(source), defaultdict[str, set[str]](set)
    for path in source.rglob("*.py"):
        parts = path.relative_to(source).with_suffix("").parts
        tree = _Running().visit(ast.parse(path.read_text("utf-8")))
        for name in imports(tree, ["imagemill", *parts]):
            package, _, rest = name.partition(".")
            room = rest.split(".")[0]
            if package == "imagemill" and room in known - {parts[0]}:
                arrows[parts[0]].add(room)
    return {room: frozenset(arrows[room]) for room in known}


def nodes(source: Path, arrows: Graph) -> dict[str, Node]:
    """By room, the node that it is in; a CycleError names the rooms that import in a circle."""
    TopologicalSorter(arrows).prepare()

    @cache
    def height(room: str) -> int:
        beside = (each for each in arrows[room] if LEVEL_OF[each] == LEVEL_OF[room])
        return max((height(each) + 1 for each in beside), default=0)

    def place(room: str) -> tuple[int, int, str]:
        own = room if (source / room).is_dir() else ""
        return LEVEL_OF[room], height(room), own

    placed = dict[str, Node]()
    for (level, row, own), members in groupby(sorted(arrows, key=place), place):
        names = tuple(sorted(members))
        placed |= dict.fromkeys(names, Node(level, row, names, package=bool(own)))
    return placed


def reduced(arrows: Mapping[Node, frozenset[Node]]) -> Iterator[tuple[Node, Node]]:
    """The arrows that follow from no others."""

    @cache
    def below(node: Node) -> frozenset[Node]:
        return arrows[node].union(*(below(each) for each in arrows[node]))

    for node in sorted(arrows):
        for other in sorted(arrows[node]):
            if not any(other in below(each) for each in arrows[node] - {other}):
                yield node, other


def between(placed: Mapping[str, Node], arrows: Graph) -> dict[Node, frozenset[Node]]:
    """The same arrows, from node to node."""
    found = {node: set[Node]() for node in placed.values()}
    for room, others in arrows.items():
        found[placed[room]] |= {placed[each] for each in others} - {placed[room]}
    return {node: frozenset(others) for node, others in found.items()}


def drawn(source: Path = SOURCE) -> str:
    """The picture, an SVG."""
    arrows = graph(source)
    placed = nodes(source, arrows)
    kept = list(reduced(between(placed, arrows)))
    boxes, levels, height = _laid_out(sorted(set(placed.values())), kept)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}">',
        f"<style>{STYLE}</style><defs>{HEAD}</defs>",
        f'<rect width="{WIDTH}" height="{height:.0f}" fill="#fff"/>',
        *(_level(NAMES[number], *edges) for number, edges in sorted(levels.items())),
        *(_arrow(start, end) for start, end in _ends(kept, boxes)),
        *(_box(node, boxes[node]) for node in sorted(boxes)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


Edges = tuple[float, float]  # px, of the upper and the lower one
Point = tuple[float, float]  # px


def _laid_out(
    all_nodes: Iterable[Node], arrows: Iterable[tuple[Node, Node]]
) -> tuple[dict[Node, Box], dict[int, Edges], float]:
    """Boxes, the upper and lower edge of each level, and the height of the whole, from the top."""
    arrows = list(arrows)
    boxes, levels, y = dict[Node, Box](), dict[int, Edges](), float(MARGIN)
    highest = sorted(all_nodes, key=lambda node: (-node.level, -node.height, node.names))
    for level, members in groupby(highest, lambda node: node.level):
        top, y = y, y + PADDING
        for _, row in groupby(members, lambda node: node.height):
            listed = list(row)
            boxes |= _row(_ordered(listed, arrows, boxes), y)
            y += max(boxes[node].height for node in listed) + BETWEEN_ROWS
        y += PADDING - BETWEEN_ROWS
        levels[level] = top, y
        y += BETWEEN_LEVELS
    return boxes, levels, y - BETWEEN_LEVELS + MARGIN


def _ordered(
    row: list[Node], arrows: list[tuple[Node, Node]], boxes: Mapping[Node, Box]
) -> list[Node]:
    """From left to right, below those who import them."""

    def wanted(node: Node) -> tuple[float, Node]:
        above = [boxes[upper].middle for upper, lower in arrows if lower == node]
        return (sum(above) / len(above) if above else WIDTH / 2), node

    return sorted(row, key=wanted)


def _row(row: list[Node], y: float) -> Iterator[tuple[Node, Box]]:
    widths = [max(map(len, node.lines)) * LETTER + 2 * PADDING for node in row]
    height = max(len(node.lines) for node in row) * LINE + PADDING
    gap = (WIDTH - LABEL - MARGIN - sum(widths)) / (len(row) + 1)
    x = LABEL + gap
    for node, width in zip(row, widths, strict=True):
        yield node, Box(x, y, width, height)
        x += width + gap


def _level(name: str, top: float, bottom: float) -> str:
    wide, high = WIDTH - 2 * MARGIN, bottom - top
    return (
        f'<rect class="level" x="{MARGIN}" y="{top:.0f}" width="{wide}" '
        f'height="{high:.0f}" rx="6"/>'
        f'<text class="label" x="{2 * MARGIN}" y="{(top + bottom) / 2 + 4:.0f}">{name}</text>'
    )


def _ends(
    arrows: list[tuple[Node, Node]], boxes: Mapping[Node, Box]
) -> Iterator[tuple[Point, Point]]:
    """Where each arrow begins and ends: those of one edge of a box share its width alike."""
    for upper, lower in arrows:
        leaving = [below for above, below in arrows if above == upper]
        coming = [above for above, below in arrows if below == lower]
        start, end = boxes[upper], boxes[lower]
        yield (
            (_shared(start, lower, leaving, boxes), start.y + start.height),
            (_shared(end, upper, coming, boxes), end.y - 1),
        )


def _shared(box: Box, other: Node, others: list[Node], boxes: Mapping[Node, Box]) -> float:
    order = sorted(others, key=lambda node: (boxes[node].middle, node))
    return box.x + box.width * (order.index(other) + 1) / (len(order) + 1)


def _arrow(start: Point, end: Point) -> str:
    bend = max((end[1] - start[1]) / 2, BETWEEN_ROWS / 2)
    return (
        f'<path class="arrow" d="M{start[0]:.0f} {start[1]:.0f}'
        f"C{start[0]:.0f} {start[1] + bend:.0f} {end[0]:.0f} {end[1] - bend:.0f} "
        f'{end[0]:.0f} {end[1]:.0f}"/>'
    )


def _box(node: Node, box: Box) -> str:
    kind = "package" if node.package else "file"
    first = box.y + box.height / 2 - len(node.lines) * LINE / 2 + LINE - 4
    lines = (
        f'<text x="{box.x + PADDING:.0f}" y="{first + number * LINE:.0f}">{escape(line)}</text>'
        for number, line in enumerate(node.lines)
    )
    return (
        f'<rect class="{kind}" x="{box.x:.0f}" y="{box.y:.0f}" width="{box.width:.0f}" '
        f'height="{box.height:.0f}" rx="4"/>{"".join(lines)}'
    )


if __name__ == "__main__":
    PICTURE.write_text(drawn(), "utf-8", newline="\n")
