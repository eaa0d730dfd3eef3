"""What a wrapped program finds in its environment, so that it comes to us without knowing it.

Clients keep the addresses that they have; we answer there. Most come by the proxy; who ignores
proxies is led by what its Python or its Node loads before it.
"""

import json
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from imagemill.errors import invalid
from imagemill.exec.tunnels import PORTS, Above
from imagemill.http.hosts import HOSTS
from imagemill.settings import LOOPBACK
from imagemill.tls import CA, Authority

FOLDER = Path(__file__).with_name("preload")
PRELOAD = FOLDER / "redirect.cjs"  # of Node; Python looks for its own in the folder
# Files of roots that somebody may have named before us.
ROOTS = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
LEADING = "IMAGEMILL_EXEC"
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")  # each in small letters, too

# The addresses that clients have anyway, and what a shell may have put in their place.
USUAL: dict[str, str] = {
    "FAL_RUN_HOST": "fal.run",
    "FAL_QUEUE_RUN_HOST": "queue.fal.run",
    "HF_ENDPOINT": "https://huggingface.co",
    "OPENAI_BASE_URL": "https://api.openai.com/v1",
}
# Their clients read it differently from version to version; without it all find the usual address.
UNSET = ("TOGETHER_BASE_URL", "REPLICATE_BASE_URL")
# Clients do not start without one, and any will do.
CREDENTIALS: dict[str, str] = {
    "FAL_KEY": "imagemill:imagemill",
    "REPLICATE_API_TOKEN": "r8_imagemill",
    "REPLICATE_API_KEY": "r8_imagemill",  # agno's name for it
    "TOGETHER_API_KEY": "imagemill",
    "OPENAI_API_KEY": "sk-imagemill",
    "NEBIUS_API_KEY": "imagemill",
    "NEBULA_API_KEY": "ak_imagemill",
}


def environment(
    inherited: Mapping[str, str], server: str, proxy: str, trust: Path, hosts: Iterable[str]
) -> dict[str, str]:
    """`inherited`, with what brings clients of `hosts` to us."""
    variables = {name: value for name, value in inherited.items() if name not in UNSET}
    ours = {"HTTPS_PROXY": proxy, "HTTP_PROXY": proxy}
    ours["NO_PROXY"] = ",".join(_around(inherited, server, hosts))
    variables |= ours | {name.lower(): value for name, value in ours.items()}
    variables |= dict.fromkeys(ROOTS, str(trust)) | USUAL
    variables["IMAGEMILL_URL"] = server
    variables |= {name: value for name, value in CREDENTIALS.items() if not inherited.get(name)}
    variables["NODE_USE_ENV_PROXY"] = "1"
    variables["NODE_OPTIONS"] = f"{inherited.get('NODE_OPTIONS', '')} {_preload(PRELOAD)}".strip()
    variables["PYTHONPATH"] = os.pathsep.join(
        [str(FOLDER), *filter(None, [inherited.get("PYTHONPATH")])]
    )
    return variables


def leading(
    variables: Mapping[str, str],
    hosts: Iterable[str],
    ports: Mapping[int, int],
    authority: Path,
    offline: bool,
) -> dict[str, str]:
    """The variable that is read by what is loaded before a program.

    variables: its others. ports: by port of the hosts, ours. authority: that alone is trusted for
    them. offline: whether other hosts are refused at those ports.
    """
    facts = {
        "hosts": [*hosts],
        "ports": dict(ports),
        "roots": str(authority),
        "offline": offline,
        "around": variables["NO_PROXY"].split(","),
    }
    return {LEADING: json.dumps(facts)}


def exports(authority: Authority, url: str) -> str:
    """The lines for the shell of whoever calls the server at `url` with fal's own client."""
    at = authority.address(url)
    variables = {
        "SSL_CERT_FILE": str(authority.bundle()),
        "FAL_RUN_HOST": at + HOSTS["fal.run"],
        "FAL_QUEUE_RUN_HOST": at + HOSTS["queue.fal.run"],
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    node = shlex.quote(str(authority.folder / CA))
    return "\n".join([*lines, f"# Node: export NODE_EXTRA_CA_CERTS={node}"])


def roots(inherited: Mapping[str, str], ours: Path) -> bytes:
    """All that the program trusted before, and our own authority."""
    named = dict.fromkeys(Path(inherited[name]) for name in ROOTS if inherited.get(name))
    files = [ours, *(path for path in named if path.is_file())]
    return b"\n".join(path.read_bytes().strip() for path in files) + b"\n"


def above(inherited: Mapping[str, str]) -> Above | None:
    """The proxy that the program would have used, for hosts that are not ours."""
    url = _either(inherited, "HTTPS_PROXY")
    if not url or "*" in _either(inherited, "NO_PROXY").split(","):
        return None
    parts = _split(url if "://" in url else f"http://{url}")
    if parts is None:
        raise invalid("HTTPS_PROXY", "HTTPS_PROXY is no http:// proxy; unset it, or use --offline")
    return Above.at(parts)


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        return parts if parts.scheme in PORTS and parts.hostname and parts.port != 0 else None
    except ValueError:
        return None


def _around(inherited: Mapping[str, str], server: str, hosts: Iterable[str]) -> list[str]:
    """Who is reached without a proxy: who was before, but for the hosts that are ours."""
    entries = [each.strip() for each in re.split(r"[,\s]+", _either(inherited, "NO_PROXY"))]
    listed = [f".{host}" for host in hosts]
    kept = [
        each
        for each in entries
        if each.strip("*.")
        and not any(host.endswith(f".{each.lstrip('*.').lower()}") for host in listed)
    ]
    return list(dict.fromkeys([*LOOPBACK, urlsplit(server).hostname or "", *kept]))


def _either(inherited: Mapping[str, str], name: str) -> str:
    return inherited.get(name.lower()) or inherited.get(name) or ""


def _preload(path: Path) -> str:
    return f"--require={json.dumps(str(path), ensure_ascii=False)}"
