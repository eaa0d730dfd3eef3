"""fal's pages: public endpoints with their schemas, one module for each family."""

from typing import Any, get_args

from imagemill.dialects.fal.pages import (
    f_lite,
    flux,
    general,
    hidream,
    ideogram,
    imagen,
    listed,
    omnigen,
    recraft,
    stable_diffusion,
)
from imagemill.dialects.fal.pages.model_page import ModelPage
from imagemill.dialects.fal.pages.openapi import listing, openapi

FAMILIES = (hidream, ideogram, stable_diffusion, omnigen, imagen, flux, recraft, f_lite, listed)
PAGES: dict[str, ModelPage[Any]] = {page.id: page for family in FAMILIES for page in family.PAGES}
# Every preset of style that a wish may name.
STYLES: tuple[str, ...] = (
    *ideogram.STYLES.values(),
    *(recraft.preset(style) for style in get_args(recraft.Style) if style != recraft.NO_STYLE),
)

__all__ = ["FAMILIES", "PAGES", "STYLES", "ModelPage", "general", "listing", "openapi"]
