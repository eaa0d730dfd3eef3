"""Rules about names in the package: private ones stay at home, and a word means one thing."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

# Names that say nothing of what they hold.
VAGUE = frozenset({"told", "asked", "found", "given"})

# Rooms and modules that still bind such names, with why. The list may only shrink.
VAGUE_STILL: Mapping[str, str] = {
    "store.migrations": "what has run on databases stays as it was written",
}

# Classes of one name in several rooms, with why. The list may only shrink.
SHARED_STILL: Mapping[str, str] = {
    "Engine": "the protocol, and what the library calls its own",
    "Names": "that may be called by, and that models have",
    "Watched": "a connection and a socket",
}

# Private names of other people's packages that are used for want of public ones.
FOREIGN = frozenset({
    "_exit",  # os: an end without clean-up, of a process that must not run any
    "_asdict", "_mapping",  # named tuples and SQLAlchemy's rows, whose underscore is no secrecy
    "_parameters", "_buffers", "_call_impl", "_is_mkldnn_bf16_supported",  # torch
    "_execution_device", "_unpack_latents", "_get_signature_keys",  # diffusers
    "_optional_components",  # diffusers
    "_reset_client", "_http",  # official clients that keep one connection for all
})  # fmt: skip
# Private names of our own that are used elsewhere, with why. The list may only shrink.
REACHED_STILL: Mapping[tuple[str, str], str] = {
    ("engine.in_thread", "_drop_cancelled"): "the runner's loop is driven step by step",
    ("engine.in_thread", "_lanes"): "the runner's loop is driven step by step",
    (
        "pipelines.weights.ip_adapters",
        "_convert_ip_adapter_attn_to_diffusers",
    ): "diffusers has no other way to read an adapter without changing the model",
    ("pipelines.weights.ip_adapters", "_convert_ip_adapter_image_proj_to_diffusers"): "likewise",
    ("store.database", "_database"): "of every table of the store, in a decorator of their methods",
}

SERVICE = Path(__file__).parent.parent / "src" / "imagemill" / "jobs" / "service.py"


def room_of(parts: tuple[str, ...]) -> str:
    """The first name, and of dialects each one's own."""
    return ".".join(parts[:2]) if parts[0] == "dialects" else parts[0]


def bound_names(tree: ast.AST) -> Iterator[str]:
    """Every name that a module gives to something."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.arg(arg=name) | ast.ClassDef(name=name):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.alias(name=name, asname=other):
                yield other or name
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name
            case ast.Attribute(attr=name, value=ast.Name(id="self"), ctx=ast.Store()):
                yield name


def vague_names(tree: ast.AST) -> list[str]:
    return sorted(VAGUE & set(bound_names(tree)))


def _methods(source: str, name: str) -> frozenset[str]:
    (kind,) = (
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and node.name == name
    )
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(
        node.name
        for node in kind.body
        if isinstance(node, functions) and not node.name.startswith("_")
    )


VERBS = _methods(SERVICE.read_text("utf-8"), "Service")


def reaches(tree: ast.AST) -> list[str]:
    """Attributes that are reached for through another object: private ones that are not of a class
    of the same module, and all of a service but its verbs.
    """
    at_home = set(bound_names(tree))
    return sorted(
        {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and _reaches(node, at_home)
        }
    )


def _reaches(node: ast.Attribute, at_home: set[str]) -> bool:
    owner = node.value
    match owner:
        case ast.Name(id="self" | "cls") | ast.Call(func=ast.Name(id="super")):
            return False
        case ast.Name(id="service") | ast.Attribute(attr="service" | "_service"):
            return node.attr not in VERBS
    private = node.attr.startswith("_") and not node.attr.startswith("__")
    return private and node.attr not in at_home | FOREIGN


def shared_classes(source: Path) -> dict[str, list[str]]:
    """The names of classes that several rooms have, with these."""
    rooms = defaultdict[str, set[str]](set)
    for path in source.rglob("*.py"):
        room = room_of(path.relative_to(source).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                rooms[node.name].add(room)
    return {name: sorted(each) for name, each in rooms.items() if len(each) > 1}


def exempt(name: str, table: Mapping[str, str]) -> str | None:
    """The entry of a table that a module falls under: itself, or what it is part of."""
    parts = name.split(".")
    wholes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((each for each in wholes if each in table), None)
