"""Loaded by every Python under `imagemill exec`, as PYTHONPATH tells it to: whoever looks up a host
that is answered for is led there, so that libraries come, too, that know nothing of proxies.

Such a host has an address here that nobody listens at; who connects to it is connected to us. TLS
with its name is spoken with our authority alone, however a program got to an address, and whatever
it trusts otherwise. This file stands alone: the program's Python need not have imagemill.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as `typing` has it, which takes longer to load than all of this
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    Then = Callable[[Any], None]

VARIABLE = "IMAGEMILL_EXEC"
STAND_IN = "127.77.{}.{}"  # of this machine, and nobody's
SERVICES = {"http": 80, "https": 443}
# What leads, by the module that it changes.
HOOKED = {
    "_socket": "look_ups",
    "socket": "connections",
    "ssl": "trust",
    "gevent.socket": "gevent",
    "uvloop": "uvloop",
    "pycares": "pycares",
}
ANYWHERE = ("", "0.0.0.0", "::")  # who listens looks these up


class Leading:
    """Has modules lead listed hosts to us; what is changed in them can be put back."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        """facts: of `surroundings.leading`, read."""
        self.ports = {int(theirs): int(ours) for theirs, ours in facts["ports"].items()}
        self.roots, self.offline, self.around = facts["roots"], facts["offline"], facts["around"]
        self.stand_ins = {
            host: STAND_IN.format(number // 250, number % 250 + 1)
            for number, host in enumerate(facts["hosts"])
        }
        self.hosts = {address: host for host, address in self.stand_ins.items()}
        self._before: list[tuple[Any, str, Any, bool]] = []
        self._context: Any = None

    def change(self, module: Any) -> None:
        """Has a module lead to us that is one of HOOKED."""
        getattr(self, HOOKED[module.__name__])(module)

    def look_ups(self, module: Any) -> None:
        """Of everybody but C libraries."""

        def leads(plain: Any) -> Any:
            def getaddrinfo(host: Any, port: Any = None, *rest: Any, **more: Any) -> Any:
                self.check(host, port, module.gaierror, module.EAI_FAIL)
                return plain(self.stand_in(host, port), port, *rest, **more)

            return getaddrinfo

        def by_name(plain: Any) -> Any:
            return lambda host: plain(self.stand_in(host, None))

        self._put(module, "getaddrinfo", leads)
        for name in ("gethostbyname", "gethostbyname_ex"):
            self._put(module, name, by_name)

    def connections(self, module: Any) -> None:
        """Of Python's sockets, whichever way they wait."""
        for name in ("gethostbyname", "gethostbyname_ex"):  # that it has from `_socket`
            self._replace(module, name, getattr(sys.modules["_socket"], name))
        self.gevent(module)

    def gevent(self, module: Any) -> None:
        """Which has sockets of its own, and looks up as others do."""

        def leads(plain: Any) -> Any:
            return lambda socket, address: plain(socket, self.place(address))

        for name in ("connect", "connect_ex"):
            self._put(module.socket, name, leads)

    def trust(self, module: Any) -> None:
        """What is said to a listed host is said to us, or not at all."""

        def guarded(plain: Any) -> Any:
            def wrap(context: Any, *args: Any, **more: Any) -> Any:
                if any(self.lists(each) for each in (*args[1:], more.get("server_hostname"))):
                    context, more["session"] = self._ours(module), None
                return plain(context, *args, **more)

            return wrap

        for name in ("_wrap_socket", "_wrap_bio"):  # of whatever asks by the public ones
            self._put(module.SSLContext, name, guarded)

    def uvloop(self, module: Any) -> None:
        """Whose loop looks up and connects in C."""

        def leads(plain: Any) -> Any:
            async def getaddrinfo(loop: Any, host: Any, port: Any, **more: Any) -> Any:
                return await plain(loop, self.stand_in(host, port), port, **more)

            return getaddrinfo

        def connects(plain: Any) -> Any:
            async def create_connection(
                loop: Any, factory: Any, host: Any = None, port: Any = None, **more: Any
            ) -> Any:
                if self.lists(host) and more.get("ssl"):
                    more.setdefault("server_hostname", host)
                host, port = self.place((host, port))
                return await plain(loop, factory, host, port, **more)

            return create_connection

        self._put(module.Loop, "getaddrinfo", leads)
        self._put(module.Loop, "create_connection", connects)

    def pycares(self, module: Any) -> None:
        """Which looks up by itself, for aiohttp where aiodns is there."""

        def leads(plain: Any) -> Any:
            def look_up(channel: Any, host: Any, *rest: Any, **more: Any) -> Any:
                return plain(channel, self.stand_in(host, None), *rest, **more)

            return look_up

        for name in ("getaddrinfo", "gethostbyname"):
            self._put(module.Channel, name, leads)

    def lists(self, host: Any) -> bool:
        """Whether a host is answered for."""
        return _plain(host) in self.stand_ins

    def stand_in(self, host: Any, port: Any) -> Any:
        """What is looked up in the place of a host: other ports are other services."""
        number = _number(port)
        ours = number is None or number in self.ports
        return self.stand_ins.get(_plain(host), host) if ours else host

    def place(self, address: Any) -> Any:
        """Where to connect to instead of an address."""
        if not isinstance(address, tuple) or len(address) < 2:
            return address
        host, port = self.stand_in(*address[:2]), _number(address[1])
        if not isinstance(host, str) or host not in self.hosts:
            return address
        if port not in self.ports:
            message = f"imagemill exec answers for {self.hosts[host]} at its usual ports alone"
            raise ConnectionRefusedError(111, message)
        return "127.0.0.1", self.ports[port]

    def check(self, host: Any, port: Any, error: Any, code: int) -> None:
        """Raises for a web address of others, where they are to be refused."""
        name = _plain(host)
        if not self.offline or name in ANYWHERE or _number(port) not in self.ports:
            return
        if name not in self.stand_ins and name not in self.hosts and not self._is_around(name):
            raise error(code, f"imagemill exec --offline does not let through {name}")

    def undo(self) -> None:
        """Puts back what was changed."""
        while self._before:
            owner, name, value, own = self._before.pop()
            if own:
                setattr(owner, name, value)
            else:
                delattr(owner, name)

    def _is_around(self, name: str) -> bool:
        """Whether the proxy is not for a host, as NO_PROXY has it."""
        entries = [each.strip().lower() for each in self.around if each.strip()]
        ends = [each if each.startswith(".") else f".{each}" for each in entries]
        return name in entries or any(name.endswith(end) for end in ends)

    def _ours(self, module: Any) -> Any:
        if self._context is None:
            self._context = module.SSLContext(module.PROTOCOL_TLS_CLIENT)
            self._context.load_verify_locations(self.roots)
            self._context.set_alpn_protocols(["http/1.1"])
        return self._context

    def _put(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        if hasattr(owner, name):
            self._replace(owner, name, make(getattr(owner, name)))

    def _replace(self, owner: Any, name: str, value: Any) -> None:
        self._before.append((owner, name, getattr(owner, name), name in vars(owner)))
        setattr(owner, name, value)


class AfterImport:
    """Finds no module by itself, but has some looked at once they are there, before anybody."""

    def __init__(self, names: set[str], then: Then) -> None:
        self.names, self.then = names, then

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in self.names:
            return None
        self.names.discard(name)
        spec = _found([each for each in sys.meta_path if each is not self], name, path, target)
        if spec is not None:
            _extend(spec.loader, self.then)
        return spec


def _extend(loader: Any, then: Then) -> None:
    plain = loader.exec_module

    def exec_module(module: Any) -> None:
        plain(module)
        then(module)

    loader.exec_module = exec_module


def lead(text: str) -> None:
    """Leads from now on, by modules that are there and by those to come.

    `text` is read when the first of them is there, as few programs ask anything of anybody.
    """
    made: list[Leading] = []

    def then(module: Any) -> None:
        if not made:
            import json

            made.append(Leading(json.loads(text)))
        made[0].change(module)

    here = {name for name in HOOKED if name in {*sys.modules, *sys.builtin_module_names}}
    for name in [name for name in HOOKED if name in here]:
        then(__import__(name))
    later = AfterImport(HOOKED.keys() - here, then)
    sys.meta_path.insert(0, later)


def hand_on() -> None:
    """Runs the file of this name that Python would have run without us."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [each for each in sys.path if os.path.abspath(each) != here]
    spec = _found(sys.meta_path, "sitecustomize")
    if spec is not None:
        from importlib.util import module_from_spec

        spec.loader.exec_module(module_from_spec(spec))


def _found(finders: Sequence[Any], name: str, path: Any = None, target: Any = None) -> Any:
    able = [each for each in finders if hasattr(each, "find_spec")]
    specs = (each.find_spec(name, path, target) for each in able)
    return next((spec for spec in specs if spec is not None and spec.loader is not None), None)


def _plain(host: Any) -> str:
    if isinstance(host, (bytes, bytearray)):
        host = host.decode("ascii", "replace")
    return host.lower().rstrip(".") if isinstance(host, str) else ""


def _number(port: Any) -> int | None:
    """None for any."""
    if isinstance(port, (bytes, bytearray)):
        port = port.decode("ascii", "replace")
    if isinstance(port, str):
        port = SERVICES.get(port) or (int(port) if port.isdigit() else -1)
    return port or None


if __name__ == "sitecustomize":
    if VARIABLE in os.environ:
        lead(os.environ[VARIABLE])
    hand_on()
