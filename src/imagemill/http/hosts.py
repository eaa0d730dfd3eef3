"""The hosts that are answered for, each with the prefix under which its paths are found here."""

from collections.abc import Mapping

FAL_CDN = "/fal/cdn"

HOSTS: Mapping[str, str] = {
    "huggingface.co": "",
    "router.huggingface.co": "",
    "api-inference.huggingface.co": "",
    "fal.run": "/fal/run",
    "queue.fal.run": "/fal/queue",
    "rest.fal.ai": "/fal/rest",
    "rest.alpha.fal.ai": "/fal/rest",  # its older name
    "v3.fal.media": FAL_CDN,
    "v3b.fal.media": FAL_CDN,
    "fal.media": FAL_CDN,
    "api.fal.ai": "/fal/api",
    "api.replicate.com": "/replicate",
    "stream.replicate.com": "/replicate",
    "api.together.xyz": "/together",
    "api.together.ai": "/together",
    "api.studio.nebius.ai": "/nebius",
    "api.studio.nebius.com": "/nebius",
    "api.tokenfactory.nebius.com": "/nebius",
    "api.openai.com": "/openai",
    "api.nebulablock.com": "/nebula",
}


def hosts_below(*prefixes: str) -> dict[str, str]:
    """The hosts whose paths are found below one of the prefixes."""
    return {host: prefix for host, prefix in HOSTS.items() if prefix in prefixes}
