"""Nebius, under `/nebius/v1`."""

from fastapi import APIRouter

from imagemill.dialects import wire


def routes(house: wire.House) -> APIRouter:
    return APIRouter(tags=["nebius"])
