"""Clients that their modules keep: they know an address and a proxy from when they were made."""

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import ModuleType

FAL_KEPT = ("_auth", "_client", "_token_manager")  # cached properties of its clients


def _openai(module: ModuleType) -> None:
    module._reset_client()


def _huggingface_hub(module: ModuleType) -> None:
    # Its releases before 1.0 have sessions of requests, which read the environment at every call.
    module.utils._http.close_session()


def _replicate(module: ModuleType) -> None:
    for name in ("_Client__client", "_Client__async_client"):
        setattr(module.default_client, name, None)


def _fal_client(module: ModuleType) -> None:
    for client in (module.sync_client, module.async_client):
        for name in FAL_KEPT:
            vars(client).pop(name, None)


FORGETS: Mapping[str, Callable[[ModuleType], None]] = {
    "fal_client": _fal_client,
    "huggingface_hub": _huggingface_hub,
    "openai": _openai,
    "replicate": _replicate,
}


def forget_clients() -> None:
    """Has the modules that are loaded make their clients anew."""
    for name, forget in FORGETS.items():
        if (module := sys.modules.get(name)) is not None:
            with suppress(AttributeError):  # a release that keeps none, or elsewhere
                forget(module)
