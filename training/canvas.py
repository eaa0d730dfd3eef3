"""A picture in SVG under the light of a time of day; the shorter side is 512 units."""

import io
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagemill.pico.layout import GROUND, HORIZON

Colour = tuple[float, float, float]
Point = tuple[float, float]
Picture = NDArray[np.uint8]  # (h, w, 3)

SIDE = 512
SKIES: dict[str, tuple[tuple[float, Colour], ...]] = {  # from the zenith (0) to the horizon (1)
    "day": ((0, (0.2, 0.55, 0.94)), (0.65, (0.56, 0.82, 0.99)), (1, (0.86, 0.95, 1))),
    "dawn": ((0, (0.47, 0.6, 0.9)), (0.5, (0.86, 0.74, 0.86)), (1, (1, 0.88, 0.74))),
    "sunset": (
        (0, (0.3, 0.2, 0.52)), (0.4, (0.76, 0.32, 0.54)), (0.72, (0.98, 0.55, 0.36)),
        (1, (1, 0.82, 0.5)),
    ),
    "twilight": ((0, (0.14, 0.1, 0.36)), (0.55, (0.43, 0.26, 0.6)), (1, (0.88, 0.54, 0.7))),
    "night": ((0, (0.03, 0.05, 0.18)), (0.7, (0.1, 0.15, 0.38)), (1, (0.18, 0.24, 0.5))),
    "grey": ((0, (0.52, 0.58, 0.66)), (1, (0.82, 0.86, 0.9))),
}  # fmt: skip
TINT: dict[str, Colour] = {
    "day": (1, 1, 1), "dawn": (1, 0.93, 0.92), "sunset": (1.0, 0.82, 0.74),
    "twilight": (0.76, 0.64, 0.88), "night": (0.42, 0.48, 0.76), "grey": (0.86, 0.89, 0.93),
}  # fmt: skip
CLOUDS: dict[str, tuple[Colour, Colour]] = {  # lit from above
    "day": ((1, 1, 1), (0.8, 0.89, 0.98)), "dawn": ((1, 0.96, 0.93), (0.94, 0.78, 0.82)),
    "sunset": ((1, 0.78, 0.58), (0.82, 0.4, 0.52)),
    "twilight": ((0.6, 0.45, 0.74), (0.36, 0.24, 0.54)),
    "night": ((0.24, 0.29, 0.52), (0.13, 0.17, 0.38)),
    "grey": ((0.88, 0.9, 0.93), (0.68, 0.72, 0.78)),
}  # fmt: skip


def mix(a: Sequence[float], b: Sequence[float], t: float) -> Colour:
    x, y, z = (p + (q - p) * t for p, q in zip(a, b, strict=True))
    return x, y, z


def times(a: Sequence[float], b: Sequence[float] | float) -> Colour:
    other = (b, b, b) if isinstance(b, float | int) else b
    x, y, z = (p * q for p, q in zip(a, other, strict=True))
    return x, y, z


def code(colour: Sequence[float]) -> str:
    return "#" + "".join(f"{round(255 * min(1.0, max(0.0, c))):02x}" for c in colour)


def curve(points: Sequence[Point]) -> str:
    """A smooth path through points, after Catmull and Rom."""
    p = [points[0], *points, points[-1]]
    out = f"M{p[1][0]:.1f} {p[1][1]:.1f}"
    for a, b, c, d in zip(p, p[1:], p[2:], p[3:], strict=False):
        x1, y1 = b[0] + (c[0] - a[0]) / 6, b[1] + (c[1] - a[1]) / 6
        x2, y2 = c[0] - (d[0] - b[0]) / 6, c[1] - (d[1] - b[1]) / 6
        out += f"C{x1:.1f} {y1:.1f} {x2:.1f} {y2:.1f} {c[0]:.1f} {c[1]:.1f}"
    return out


def straight(points: Iterable[Point]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z"


@dataclass
class Canvas:
    """What is drawn so far, and the chance that varies it."""

    place: str
    time: str
    weather: str
    rng: random.Random
    w: float = SIDE
    h: float = SIDE
    parts: list[str] = field(default_factory=list)
    defs: list[str] = field(default_factory=list)

    @property
    def horizon(self) -> float:
        return HORIZON[self.place] * self.h

    @property
    def foot(self) -> float:
        return GROUND[self.place] * self.h

    @property
    def dark(self) -> bool:
        return self.time in ("night", "twilight")

    def u(self, low: float, high: float) -> float:
        return self.rng.uniform(low, high)

    def lit(self, colour: Sequence[float]) -> Colour:
        """A colour of the ground in the light of the time."""
        out = times(colour, TINT[self.time])
        if self.weather in ("rain", "storm", "fog"):
            grey = sum(out) / 3
            out = mix(out, (grey, grey, grey * 1.06), 0.35)
            out = times(out, 0.7 if self.weather == "storm" else 0.9)
        if self.weather == "snow":
            out = mix(out, times((0.93, 0.96, 1), TINT[self.time]), 0.3)
        return out

    @property
    def haze(self) -> Colour:
        """The colour of what is far away."""
        last = SKIES[self.sky_time][-1][1]
        return times(last, 0.62) if self.weather == "storm" else last

    @property
    def sky_time(self) -> str:
        wet = self.weather in ("rain", "fog", "storm", "snow")
        return "grey" if wet and self.time in ("day", "dawn") else self.time

    def veiled(self, colour: Sequence[float], far: float) -> Colour:
        """A lit colour seen through `far` (0 to 1) of the air."""
        return mix(self.lit(colour), self.haze, far)

    # --- shapes

    def add(self, svg: str) -> None:
        self.parts.append(svg)

    def gradient(self, stops: Iterable[tuple[float, Sequence[float]]], box: str) -> str:
        """A fill along `box`, x1 y1 x2 y2 in units of the picture."""
        x1, y1, x2, y2 = box.split()
        name = f"g{len(self.defs)}"
        marks = "".join(f'<stop offset="{at:.3f}" stop-color="{code(c)}"/>' for at, c in stops)
        self.defs.append(
            f'<linearGradient id="{name}" gradientUnits="userSpaceOnUse" x1="{x1}" y1="{y1}" '
            f'x2="{x2}" y2="{y2}">{marks}</linearGradient>'
        )
        return f"url(#{name})"

    def down(self, top: Sequence[float], bottom: Sequence[float], y1: float, y2: float) -> str:
        return self.gradient(((0, top), (1, bottom)), f"0 {y1:.1f} 0 {y2:.1f}")

    def across(self, left: Sequence[float], right: Sequence[float], x1: float, x2: float) -> str:
        return self.gradient(((0, left), (1, right)), f"{x1:.1f} 0 {x2:.1f} 0")

    def path(self, d: str, fill: str | Sequence[float], extra: str = "") -> None:
        self.add(f'<path d="{d}" fill="{fill if isinstance(fill, str) else code(fill)}" {extra}/>')

    def stroke(self, d: str, colour: Sequence[float], width: float, extra: str = "") -> None:
        self.add(
            f'<path d="{d}" fill="none" stroke="{code(colour)}" stroke-width="{width:.2f}" '
            f'stroke-linecap="round" {extra}/>'
        )

    def rect(
        self, x: float, y: float, w: float, h: float, fill: str | Sequence[float], r: float = 0.0,
        extra: str = "",
    ) -> None:  # fmt: skip
        paint = fill if isinstance(fill, str) else code(fill)
        self.add(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" rx="{r:.1f}" '
            f'fill="{paint}" {extra}/>'
        )

    def ellipse(
        self, x: float, y: float, rx: float, ry: float, fill: str | Sequence[float], extra: str = ""
    ) -> None:
        paint = fill if isinstance(fill, str) else code(fill)
        self.add(
            f'<ellipse cx="{x:.1f}" cy="{y:.1f}" rx="{rx:.1f}" ry="{ry:.1f}" fill="{paint}"'
            f" {extra}/>"
        )

    def ball(self, x: float, y: float, r: float, colour: Sequence[float], ry: float = 0.0) -> None:
        """A round thing, lit from the upper left."""
        name = f"g{len(self.defs)}"
        light, shade = mix(colour, (1, 1, 0.92), 0.22), times(colour, 0.78)
        self.defs.append(
            f'<radialGradient id="{name}" cx=".36" cy=".3" r=".75"><stop offset="0" '
            f'stop-color="{code(light)}"/><stop offset="1" stop-color="{code(shade)}"/></radia'
            "lGradient>"
        )
        self.ellipse(x, y, r, ry or r, f"url(#{name})")

    def glow(self, x: float, y: float, r: float, colour: Sequence[float], strength: float) -> None:
        name = f"g{len(self.defs)}"
        c = code(colour)
        self.defs.append(
            f'<radialGradient id="{name}"><stop offset="0" stop-color="{c}" stop-opaci'
            f'ty="{strength}"/>'
            f'<stop offset=".4" stop-color="{c}" stop-opacity="{strength * 0.4:.3f}"/>'
            f'<stop offset="1" stop-color="{c}" stop-opacity="0"/></radialGradient>'
        )
        self.ellipse(x, y, r, r, f"url(#{name})")

    def ground(self, points: Sequence[Point], fill: str | Sequence[float]) -> None:
        """What lies below a smooth line from the left edge to the right."""
        self.path(curve(points) + f"L{self.w:.0f} {self.h:.0f}L0 {self.h:.0f}Z", fill)

    def wavy(self, y: float, swing: float, step: float) -> list[Point]:
        n = max(2, round(self.w / step))
        phase = self.u(0, 1)
        return [
            (-20 + (self.w + 40) * (i + phase * (0 < i < n)) / n, y + self.u(-swing, swing))
            for i in range(n + 1)
        ]

    # --- the finished picture

    def svg(self) -> str:
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.w:.2f} {self.h:.2f}">'
            f"<defs>{''.join(self.defs)}</defs>{''.join(self.parts)}</svg>"
        )

    def render(self, size: tuple[int, int]) -> Picture:
        import resvg_py

        w, h = size
        svg = self.svg().replace("<svg ", f'<svg width="{w}" height="{h}" ', 1)
        png = bytes(resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True))
        image = Image.open(io.BytesIO(png)).convert("RGB")
        return np.asarray(image)


# --- the sky and what hangs in it


def cloud(c: Canvas, x: float, y: float, size: float) -> None:
    light, shade = CLOUDS[c.sky_time]
    if c.weather == "storm":
        light, shade = times(light, 0.55), times(shade, 0.5)
    fill = c.down(light, shade, y - 0.6 * size, y + 0.3 * size)
    n = 5
    puffs = ""
    for i in range(n):
        t = (i + 0.5) / n * 2 - 1
        r = size * c.u(0.34, 0.5) * (1 - 0.5 * abs(t))
        cx, cy = x + t * size * 0.95, y + 0.28 * size - r
        puffs += f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="{r:.1f}"/>'
    base = (
        f'<rect x="{x - size:.1f}" y="{y - 0.02 * size:.1f}" width="{2 * size:.1f}" '
        f'height="{0.3 * size:.1f}" rx="{0.15 * size:.1f}"/>'
    )
    c.add(f'<g fill="{fill}">{puffs}{base}</g>')


def stars(c: Canvas, upto: float, n: int) -> None:
    spots = "".join(
        f'<circle cx="{c.u(0, c.w):.1f}" cy="{c.u(0, upto):.1f}" '
        f'r="{c.rng.choice((0.7, 0.7, 1.0, 1.5)):.1f}" opacity="{c.u(0.5, 1):.2f}"/>'
        for _ in range(n)
    )
    c.add(f'<g fill="#fffdf0">{spots}</g>')
    for _ in range(n // 40):
        x, y, r = c.u(0, c.w), c.u(0, upto), c.u(2.5, 4.5)
        d = (
            f"M{x - r:.1f} {y:.1f}Q{x:.1f} {y:.1f} {x:.1f} {y - r:.1f}Q{x:.1f} {y:.1f}"
            f" {x + r:.1f} {y:.1f}"
        )
        c.path(
            d + f"Q{x:.1f} {y:.1f} {x:.1f} {y + r:.1f}Q{x:.1f} {y:.1f} {x - r:.1f} {y:.1f}", "#fff"
        )


def sun_or_moon(c: Canvas) -> None:
    x = c.rng.choice((c.u(0.1, 0.32), c.u(0.68, 0.9))) * c.w
    low = c.time in ("sunset", "dawn")
    y = c.horizon - c.u(40, 70) if low else c.u(0.1, 0.18) * c.h
    if c.dark:
        c.glow(x, y, 70, (0.8, 0.86, 1), 0.5)
        full = c.rng.random() < 0.5
        if full:
            c.ball(x, y, 24, (0.97, 0.96, 0.88))
        else:
            d = (
                f"M{x - 4:.1f} {y - 24:.1f}A25 25 0 1 0 {x + 22:.1f} {y + 10:.1f}A21 21 0 0 1"
                f" {x - 4:.1f} {y - 24:.1f}Z"
            )
            c.path(d, (0.98, 0.96, 0.85))
        return
    tone: Colour = {"sunset": (1, 0.86, 0.5), "dawn": (1, 0.93, 0.72)}.get(c.time, (1, 0.96, 0.7))
    c.glow(x, y, 190 if low else 120, tone, 0.8)
    c.ellipse(x, y, 32 if low else 26, 32 if low else 26, mix(tone, (1, 1, 1), 0.45))


def sky(c: Canvas, clouds: tuple[int, int] = (2, 4)) -> None:
    stops = [(at, col) for at, col in SKIES[c.sky_time]]
    if c.weather == "storm":
        stops = [(at, times(col, (0.5, 0.52, 0.6))) for at, col in stops]
    end = min(c.h, c.horizon + 10)
    c.rect(0, 0, c.w, c.h, c.gradient(stops, f"0 0 0 {end:.1f}"))
    clear = c.weather in ("", "snow") and c.sky_time != "grey"
    if c.dark and clear:
        stars(c, 0.85 * end, int((150 if c.time == "night" else 70) * c.w * c.h / SIDE**2))
    if clear:
        sun_or_moon(c)
    extra = 5 if c.weather in ("rain", "storm") else 1 if c.sky_time == "grey" else 0
    for _ in range(c.rng.randint(*clouds) + extra):
        cloud(c, c.u(-20, c.w + 20), c.u(0.05, 0.62) * end, c.u(28, 66) * (1 + 0.1 * extra))
    if c.weather == "storm" and c.rng.random() < 0.8:
        x, y = c.u(0.12, 0.88) * c.w, 0.12 * c.h
        points = [(x, y)]
        while points[-1][1] < c.horizon * 0.85:
            points.append((points[-1][0] + c.u(-26, 26), points[-1][1] + c.u(18, 40)))
        d = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in points)
        c.stroke(d, (0.8, 0.86, 1), 9, 'opacity=".35" stroke-linejoin="round"')
        c.stroke(d, (1, 1, 0.9), 3.2, 'stroke-linejoin="round"')


def arc(n: int, x: float, y: float, r: float) -> list[Point]:
    return [
        (x + r * math.cos(2 * math.pi * i / n), y + r * math.sin(2 * math.pi * i / n))
        for i in range(n)
    ]
