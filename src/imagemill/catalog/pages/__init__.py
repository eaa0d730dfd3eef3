"""The pages of the catalog: public endpoints with their schemas, one module for each family."""

from typing import Any, get_args

from imagemill.catalog.pages import (
    f_lite,
    flux,
    hidream,
    ideogram,
    imagen,
    omnigen,
    recraft,
    stable_diffusion,
)
from imagemill.catalog.pages.described import listing, openapi
from imagemill.catalog.pages.page import Page

FAMILIES = (hidream, ideogram, stable_diffusion, omnigen, imagen, flux, recraft, f_lite)
PAGES: dict[str, Page[Any]] = {page.id: page for family in FAMILIES for page in family.PAGES}
# Every preset of style that a draft may name.
STYLES: tuple[str, ...] = (
    *ideogram.STYLES.values(),
    *(recraft.preset(style) for style in get_args(recraft.Style) if style != recraft.NO_STYLE),
)

__all__ = ["FAMILIES", "PAGES", "STYLES", "Page", "listing", "openapi"]
