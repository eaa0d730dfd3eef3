"""The Hugging Face Hub's look-ups that its clients make before they call a provider."""

from fastapi import APIRouter

from imagemill.dialects import wire


def routes(house: wire.House) -> APIRouter:
    return APIRouter(tags=["hub"])
