"""Rooms: a wall, a floor, and what tells one room from another at the sides and at the back."""

from itertools import pairwise

from training.canvas import SKIES, Canvas, Colour, cloud, code, mix, stars, times
from training.scenery import skyline

WHITE: Colour = (0.97, 0.96, 0.94)
WOOD: Colour = (0.72, 0.5, 0.33)


def inside(c: Canvas, colour: Colour) -> Colour:
    """A colour by lamplight or daylight: rooms are never as dark as outdoors."""
    tint = {
        "night": (0.74, 0.68, 0.7), "twilight": (0.86, 0.78, 0.86), "sunset": (1, 0.9, 0.8),
        "dawn": (1, 0.96, 0.93), "grey": (0.92, 0.93, 0.95),
    }.get(c.time, (1, 1, 1))  # fmt: skip
    return times(colour, tint)


def wall(c: Canvas, colour: Colour, stripes: bool = False) -> None:
    tone = inside(c, colour)
    c.rect(
        0, 0, c.w, c.horizon, c.down(mix(tone, (1, 1, 1), 0.08), times(tone, 0.93), 0, c.horizon)
    )
    if stripes:
        d = "".join(f"M{x} 0h18v{c.horizon:.0f}h-18z" for x in range(6, int(c.w), 40))
        c.path(d, mix(tone, (1, 1, 1), 0.35), 'opacity=".4"')
    c.rect(0, c.horizon - 13, c.w, 13, mix(tone, (1, 1, 1), 0.6))


def planks(c: Canvas, colour: Colour) -> None:
    y, tone = c.horizon, inside(c, colour)
    c.rect(0, y, c.w, c.h - y, c.down(times(tone, 0.86), tone, y, c.h))
    m, n = c.w / 2, 9
    for i in range(-n, n + 1):
        a, b = m + i * c.w / 14, m + i * c.w / 5.5
        shade = times(tone, c.u(0.86, 1.04))
        a2, b2 = m + (i + 1) * c.w / 14, m + (i + 1) * c.w / 5.5
        c.path(f"M{a:.0f} {y:.0f}H{a2:.0f}L{b2:.0f} {c.h:.0f}H{b:.0f}Z", shade, 'opacity=".55"')
        c.stroke(f"M{a:.0f} {y:.0f}L{b:.0f} {c.h:.0f}", times(tone, 0.72), 1.2, 'opacity=".6"')


def checks(c: Canvas, light: Colour, dark: Colour) -> None:
    y, light, dark = c.horizon, inside(c, light), inside(c, dark)
    c.rect(0, y, c.w, c.h - y, light)
    rows, m, d = 5, c.w / 2, ""
    depth = [y + (c.h - y) * (i / rows) ** 1.35 for i in range(rows + 1)]
    for r, (top, bottom) in enumerate(pairwise(depth)):
        for i in range(-14, 14):
            if (i + r) % 2:
                s1 = 40 * (1 + 0.9 * (top - y) / (c.h - y))
                s2 = 40 * (1 + 0.9 * (bottom - y) / (c.h - y))
                d += (
                    f"M{m + i * s1:.0f} {top:.0f}h{s1:.0f}L{m + (i + 1) * s2:.0f}"
                    f" {bottom:.0f}h{-s2:.0f}z"
                )
    c.path(d, dark)


def window(
    c: Canvas, x: float, y: float, w: float, h: float, frame: Colour, town: bool = False
) -> None:
    """A window with the sky in it, and hills or a town."""
    out = Canvas("meadow", c.time, "" if c.weather == "snow" else c.weather, c.rng, w, h / 0.75)
    out.defs = c.defs
    tones = SKIES[out.sky_time]
    out.rect(0, 0, w, out.h, out.down(tones[0][1], tones[-1][1], 0, h))
    if c.dark:
        stars(out, h * 0.7, 26)
        out.ellipse(w * 0.72, h * 0.24, 9, 9, (0.97, 0.96, 0.86))
    else:
        cloud(out, w * c.u(0.2, 0.5), h * 0.25, 18)
    if town:
        out.place = "city"
        skyline(out, h, 2)
    else:
        out.ground(out.wavy(h * 0.72, 8, 50), out.veiled((0.45, 0.7, 0.4), 0.15))
    name = f"w{len(c.defs)}"
    c.defs.append(f'<clipPath id="{name}"><rect width="{w:.0f}" height="{h:.0f}"/></clipPath>')
    f = inside(c, frame)
    c.rect(x - 9, y - 9, w + 18, h + 18, f, 4)
    c.add(
        f'<g transform="translate({x:.0f} {y:.0f})" clip-path="ur'
        f'l(#{name})">{"".join(out.parts)}</g>'
    )
    c.rect(x + w / 2 - 3, y, 6, h, f)
    c.rect(x, y + h * 0.5 - 2.5, w, 5, f)
    c.rect(x - 14, y + h + 6, w + 28, 9, times(f, 0.92), 3)


def picture(c: Canvas, x: float, y: float, w: float, h: float) -> None:
    c.rect(x - 6, y - 6, w + 12, h + 12, inside(c, (0.5, 0.34, 0.22)), 2)
    a, b = c.rng.choice(
        (
            ((0.6, 0.82, 0.95), (0.4, 0.65, 0.4)),
            ((0.98, 0.8, 0.6), (0.7, 0.4, 0.45)),
            ((0.9, 0.88, 0.8), (0.35, 0.45, 0.6)),
        )
    )
    c.rect(x, y, w, h, c.down(inside(c, a), inside(c, mix(a, (1, 1, 1), 0.4)), y, y + h))
    c.path(
        f"M{x:.0f} {y + h:.0f}v{-h * 0.3:.0f}q{w * 0.3:.0f} {-h * 0.4:.0f} {w * 0.5:.0f} 0"
        f"t{w * 0.5:.0f} {-h * 0.1:.0f}v{h * 0.4:.0f}z",
        inside(c, b),
    )


def plant(c: Canvas, x: float, base: float, s: float) -> None:
    for k in (-0.5, -0.25, 0, 0.25, 0.5):
        ex, ey = x + k * s * 1.1, base - s * (1.05 - abs(k) * 0.5)
        c.path(
            f"M{x:.0f} {base - s * 0.3:.0f}Q{x + k * s * 0.2 - 10:.0f} {ey:.0f} {ex:.0f}"
            f" {ey:.0f}Q{ex - k * 6 + 10:.0f} {base - s * 0.4:.0f} {x:.0f}"
            f" {base - s * 0.3:.0f}Z",
            inside(c, times((0.28, 0.6, 0.34), c.u(0.85, 1.15))),
        )
    c.path(
        f"M{x - s * 0.24:.0f} {base - s * 0.36:.0f}h{s * 0.48:.0f}l{-s * 0.08:.0f}"
        f" {s * 0.36:.0f}h{-s * 0.32:.0f}z",
        inside(c, c.rng.choice(((0.85, 0.5, 0.35), (0.95, 0.93, 0.9), (0.4, 0.55, 0.7)))),
    )


def hanging(c: Canvas, x: float, down: float, tone: Colour) -> None:
    """A lamp that hangs from the ceiling."""
    c.rect(x - 1, 0, 2, down, (0.2, 0.18, 0.2))
    c.glow(x, down + 22, 90 if c.dark else 60, (1, 0.85, 0.55), 0.6 if c.dark else 0.3)
    c.path(
        f"M{x - 24:.0f} {down + 24:.0f}Q{x - 20:.0f} {down:.0f} {x:.0f} {down - 2:.0f}"
        f"Q{x + 20:.0f} {down:.0f} {x + 24:.0f} {down + 24:.0f}Z",
        inside(c, tone),
    )
    c.ellipse(x, down + 25, 10, 4, (1, 0.95, 0.75))


def side(c: Canvas) -> float:
    """-1 or 1: the side of the picture that something stands at."""
    return float(c.rng.choice((-1, 1)))


def studio(c: Canvas) -> None:
    """A plain backdrop that runs into the floor."""
    tones: tuple[Colour, ...] = (
        (0.98, 0.93, 0.83), (0.86, 0.93, 0.99), (0.98, 0.88, 0.89), (0.88, 0.95, 0.88),
        (0.93, 0.9, 0.98), (0.96, 0.96, 0.96), (0.84, 0.95, 0.94), (1, 0.94, 0.78),
    )  # fmt: skip
    tone = inside(c, c.rng.choice(tones))
    c.rect(0, 0, c.w, c.h, c.down(mix(tone, (1, 1, 1), 0.3), times(tone, 0.94), 0, c.horizon))
    y = c.horizon
    fade = c.gradient(
        ((0, times(tone, 0.94)), (0.5, times(tone, 0.9)), (1, mix(tone, (1, 1, 1), 0.1))),
        f"0 {y - 30:.0f} 0 {c.h:.0f}",
    )
    c.rect(0, y - 30, c.w, c.h - y + 30, fade)
    c.glow(c.w / 2, 0.42 * c.h, 300, (1, 1, 1), 0.5)


def room(c: Canvas) -> None:
    wall(
        c,
        c.rng.choice(((0.95, 0.87, 0.72), (0.8, 0.88, 0.84), (0.93, 0.8, 0.74), (0.8, 0.85, 0.93))),
        c.rng.random() < 0.5,
    )
    planks(c, WOOD)
    s = side(c)
    window(c, c.w * (0.5 + s * 0.26) - 70, 70, 140, 150, WHITE)
    tone = inside(c, c.rng.choice(((0.85, 0.4, 0.35), (0.4, 0.6, 0.6), (0.95, 0.75, 0.4))))
    x0 = c.w * (0.5 + s * 0.26)
    for k in (-1, 1):
        c.path(
            f"M{x0 + k * 70:.0f} 50h{k * 30}q{k * 6} 110 {-k * 4} 210h{-k * 22}q{k * 10} -110"
            f" {-k * 4} -210z",
            tone,
        )
    c.rect(x0 - 108, 44, 216, 7, inside(c, (0.5, 0.36, 0.26)), 3)
    picture(c, c.w * (0.5 - s * 0.28) - 45, 90, 90, 66)
    plant(c, c.w * (0.5 - s * 0.43), c.horizon + 26, 110)
    c.ellipse(
        c.w / 2,
        c.h * 0.88,
        min(c.w * 0.42, 220),
        46,
        inside(c, c.rng.choice(((0.8, 0.45, 0.4), (0.42, 0.55, 0.7), (0.85, 0.75, 0.55)))),
    )
    c.add(
        f'<ellipse cx="{c.w / 2:.0f}" cy="{c.h * 0.88:.0f}" rx="{min(c.w * 0.37, 196):.0f}"'
        ' ry="37" fill="none" stroke="#fff" stroke-opacity=".45" stroke-width="4"/>'
    )


def bedroom(c: Canvas) -> None:
    wall(c, c.rng.choice(((0.74, 0.82, 0.94), (0.9, 0.82, 0.93), (0.82, 0.9, 0.84))), True)
    planks(c, (0.78, 0.6, 0.45))
    s = side(c)
    window(c, c.w * (0.5 - s * 0.24) - 55, 70, 110, 120, WHITE)
    x, y = c.w * (0.5 + s * 0.5), c.horizon
    wood, cover = (
        inside(c, (0.6, 0.42, 0.3)),
        inside(c, c.rng.choice(((0.45, 0.58, 0.85), (0.9, 0.55, 0.6), (0.55, 0.75, 0.6)))),
    )
    c.rect(x - 150, y - 96, 300, 120, wood, 14)  # a bed, half of it out of the picture
    c.rect(x - 138, y - 34, 276, 80, inside(c, WHITE), 16)
    c.rect(
        x - 96 * (1 if s > 0 else -0.1) - (50 if s > 0 else -10),
        y - 62,
        86,
        44,
        inside(c, (1, 1, 1)),
        18,
    )
    c.path(
        f"M{x - 150:.0f} {y + 4:.0f}q150 -26 300 0l24 100h-348z",
        c.down(mix(cover, (1, 1, 1), 0.15), times(cover, 0.85), y, y + 90),
    )
    n = c.w * (0.5 + s * 0.5) - s * 188
    c.rect(n - 24, y - 40, 48, 62, inside(c, (0.66, 0.48, 0.34)), 4)
    c.rect(n - 2, y - 66, 4, 26, inside(c, (0.5, 0.4, 0.3)))
    c.glow(n, y - 78, 70, (1, 0.85, 0.55), 0.7 if c.dark else 0.35)
    c.path(f"M{n - 22:.0f} {y - 62:.0f}l8 -32h28l8 32z", (1, 0.9, 0.68))
    picture(c, c.w * (0.5 + s * 0.3) - 34, 84, 68, 52)


def kitchen(c: Canvas) -> None:
    wall(c, c.rng.choice(((0.99, 0.92, 0.76), (0.86, 0.93, 0.9), (0.97, 0.89, 0.84))))
    y = c.horizon
    tone, line = inside(c, (0.98, 0.97, 0.93)), inside(c, (0.84, 0.8, 0.72))
    d = "".join(f"M0 {yy:.0f}h{c.w:.0f}" for yy in range(int(y - 160), int(y - 80), 20))
    d += "".join(f"M{x} {y - 160:.0f}v80" for x in range(0, int(c.w), 30))
    c.rect(0, y - 160, c.w, 80, tone)
    c.stroke(d, line, 1.5)
    unit = inside(
        c,
        c.rng.choice(((0.55, 0.72, 0.72), (0.85, 0.5, 0.42), (0.5, 0.6, 0.75), (0.75, 0.62, 0.48))),
    )
    c.rect(0, y - 84, c.w, 86, times(unit, 0.95))
    for n in range(4, int(c.w), 74):
        c.rect(n, y - 66, 66, 62, mix(unit, (1, 1, 1), 0.12), 5)
        c.rect(n + 26, y - 58, 14, 4, inside(c, (0.92, 0.92, 0.92)), 2)
    c.rect(-5, y - 90, c.w + 10, 14, inside(c, (0.93, 0.9, 0.86)), 3)
    s = side(c)
    ox = c.w * (0.5 + s * 0.34) - 44
    c.rect(ox, y - 78, 88, 78, inside(c, (0.86, 0.87, 0.89)), 4)
    c.rect(ox + 10, y - 54, 68, 44, inside(c, (0.2, 0.22, 0.26)), 6)
    for n in range(4):
        c.ellipse(ox + 16 + 18 * n, y - 66, 5, 5, inside(c, (0.3, 0.3, 0.34)))
    c.path(f"M{ox + 20:.0f} {y - 92:.0f}h48v-24h-48z", inside(c, (0.8, 0.3, 0.28)))
    c.rect(ox + 12, y - 118, 64, 6, inside(c, (0.7, 0.25, 0.24)), 3)
    for k in (-1, 1):  # cupboards on the wall
        x = c.w * (0.5 + 0.36 * k) - 76
        c.rect(x, 34, 152, 96, times(unit, 0.95), 5)
        c.rect(x + 6, 40, 67, 84, mix(unit, (1, 1, 1), 0.12), 4)
        c.rect(x + 79, 40, 67, 84, mix(unit, (1, 1, 1), 0.12), 4)
    window(c, c.w / 2 - 52, 52, 104, 96, WHITE)
    checks(c, (0.95, 0.9, 0.82), (0.8, 0.62, 0.5))


def bathroom(c: Canvas) -> None:
    wall(c, (0.84, 0.94, 0.95))
    y = c.horizon
    d = "".join(f"M0 {yy}h{c.w:.0f}" for yy in range(0, int(y), 34)) + "".join(
        f"M{x} 0v{y:.0f}" for x in range(0, int(c.w), 34)
    )
    c.stroke(d, inside(c, (0.66, 0.83, 0.86)), 1.8)
    c.rect(0, y - 158, c.w, 16, inside(c, (0.3, 0.62, 0.7)))
    checks(c, (0.96, 0.97, 0.98), (0.5, 0.66, 0.74))
    s = side(c)
    white, shade = inside(c, (0.99, 0.99, 1)), inside(c, (0.82, 0.88, 0.92))
    x = c.w * (0.5 + s * 0.5)  # a tub, half of it out of the picture
    c.path(
        f"M{x - 170:.0f} {y - 60:.0f}h340q-6 92 -50 96h-240q-44 -4 -50 -96z",
        c.down(white, shade, y - 60, y + 40),
    )
    c.rect(x - 182, y - 70, 364, 16, white, 8)
    bubbles = "".join(
        f'<circle cx="{x + c.u(-150, 150):.0f}" cy="{y - 74 + c.u(-8, 6):.0f}"'
        f' r="{c.u(7, 16):.0f}"/>'
        for _ in range(22)
    )
    c.add(f'<g fill="#fff" opacity=".92">{bubbles}</g>')
    b = c.w * (0.5 - s * 0.33)
    c.rect(b - 8, y - 70, 16, 96, shade, 4)
    c.path(
        f"M{b - 60:.0f} {y - 96:.0f}h120q-6 42 -60 42t-60 -42z",
        c.down(white, shade, y - 96, y - 54),
    )
    c.stroke(f"M{b:.0f} {y - 96:.0f}v-22q0 -12 14 -8", inside(c, (0.6, 0.65, 0.7)), 6)
    c.ellipse(b, 112, 52, 62, inside(c, (0.75, 0.8, 0.85)))
    c.ellipse(
        b,
        112,
        46,
        56,
        c.across(inside(c, (0.8, 0.92, 0.97)), inside(c, (0.93, 0.98, 1)), b - 46, b + 46),
    )
    t = c.w * (0.5 + s * 0.26)
    c.rect(t - 30, 112, 60, 5, inside(c, (0.6, 0.65, 0.7)), 2)
    c.rect(
        t - 24,
        114,
        48,
        74,
        inside(c, c.rng.choice(((0.95, 0.6, 0.6), (0.98, 0.8, 0.45), (0.55, 0.7, 0.9)))),
        4,
    )


def restaurant(c: Canvas) -> None:
    wall(c, c.rng.choice(((0.62, 0.26, 0.22), (0.28, 0.4, 0.4), (0.8, 0.6, 0.42))))
    y = c.horizon
    c.rect(
        0,
        y - 110,
        c.w,
        110,
        c.down(inside(c, (0.46, 0.3, 0.2)), inside(c, (0.38, 0.24, 0.17)), y - 110, y),
    )
    d = "".join(f"M{x} {y - 98:.0f}h38v86h-38z" for x in range(8, int(c.w), 52))
    c.path(d, inside(c, (0.52, 0.35, 0.24)))
    s = side(c)
    window(c, c.w * (0.5 + s * 0.25) - 66, 66, 132, 112, (0.3, 0.2, 0.16), True)
    c.rect(c.w * (0.5 - s * 0.26) - 62, 80, 124, 84, inside(c, (0.36, 0.24, 0.18)), 4)
    c.rect(c.w * (0.5 - s * 0.26) - 56, 86, 112, 72, (0.16, 0.22, 0.2), 2)
    for n in range(4):
        c.rect(c.w * (0.5 - s * 0.26) - 44, 98 + 14 * n, c.u(50, 88), 3.5, (0.9, 0.9, 0.84), 2)
    planks(c, (0.58, 0.38, 0.25))
    for k in (-0.4, 0.4):  # tables with a cloth at the back
        x = c.w * (0.5 + k)
        c.rect(x - 4, y - 14, 8, 46, inside(c, (0.3, 0.2, 0.15)))
        c.path(f"M{x - 58:.0f} {y - 20:.0f}h116l8 40q-66 16 -132 0z", inside(c, (0.97, 0.95, 0.92)))
        c.path(f"M{x - 58:.0f} {y - 20:.0f}h116l2 10h-120z", inside(c, (0.86, 0.3, 0.28)))
        c.rect(x - 3, y - 44, 6, 24, inside(c, (0.98, 0.96, 0.9)), 2)
        c.glow(x, y - 50, 34, (1, 0.8, 0.4), 0.7)
        c.ellipse(x, y - 49, 3, 6, (1, 0.88, 0.5))
    for k in (0.2, 0.5, 0.8):
        hanging(c, c.w * k, 34 + c.u(-6, 6), (0.9, 0.5, 0.3))


def library(c: Canvas) -> None:
    wood = inside(c, c.rng.choice(((0.5, 0.33, 0.22), (0.42, 0.28, 0.2), (0.58, 0.42, 0.3))))
    c.rect(0, 0, c.w, c.horizon, times(wood, 0.62))
    tones: tuple[Colour, ...] = (
        (0.75, 0.25, 0.22),
        (0.2, 0.4, 0.6),
        (0.25, 0.5, 0.36),
        (0.9, 0.7, 0.3),
        (0.55, 0.35, 0.6),
        (0.92, 0.86, 0.75),
        (0.3, 0.3, 0.4),
        (0.85, 0.5, 0.3),
    )
    rows, gap = 4, (c.horizon - 18) / 4
    for r in range(rows):
        base = 14 + gap * (r + 1) - 8
        x = 6.0
        while x < c.w - 6:
            wide, high = c.u(9, 19), gap * c.u(0.58, 0.82)
            if c.rng.random() < 0.06:
                x += wide
                continue
            tone = inside(c, times(c.rng.choice(tones), c.u(0.85, 1.1)))
            c.rect(
                x,
                base - high,
                wide - 1,
                high,
                c.across(mix(tone, (1, 1, 1), 0.12), times(tone, 0.82), x, x + wide),
                1.5,
            )
            c.rect(x + 2, base - high * 0.8, wide - 5, 3, inside(c, (0.95, 0.85, 0.55)))
            x += wide
        c.rect(0, base, c.w, 9, wood)
    for x in (0.0, 0.33, 0.66, 1.0):
        c.rect(
            x * c.w - 7,
            0,
            14,
            c.horizon,
            c.across(times(wood, 1.12), times(wood, 0.85), x * c.w - 7, x * c.w + 7),
        )
    c.rect(0, 0, c.w, 14, wood)
    c.rect(0, c.horizon - 12, c.w, 12, times(wood, 0.9))
    planks(c, (0.6, 0.42, 0.28))
    c.ellipse(c.w / 2, c.h * 0.88, min(c.w * 0.4, 210), 44, inside(c, (0.6, 0.2, 0.22)))
    c.add(
        f'<ellipse cx="{c.w / 2:.0f}" cy="{c.h * 0.88:.0f}" rx="{min(c.w * 0.36, 190):.0f}"'
        ' ry="37" fill="none" stroke="#e9c46a" stroke-opacity=".7" stroke-width="3"/>'
    )
    for k in (0.17, 0.83):
        hanging(c, c.w * k, 40, (0.3, 0.55, 0.42))


def stage(c: Canvas) -> None:
    tone = c.rng.choice(((0.2, 0.1, 0.3), (0.1, 0.14, 0.32), (0.26, 0.1, 0.16)))
    c.rect(0, 0, c.w, c.h, c.down(tone, times(tone, 1.7), 0, c.horizon))
    floor: Colour = (0.55, 0.36, 0.24)
    y = c.horizon
    c.rect(0, y, c.w, c.h - y, c.down(times(floor, 0.55), times(floor, 0.95), y, c.h))
    for i in range(-9, 10):
        c.stroke(
            f"M{c.w / 2 + i * c.w / 14:.0f} {y:.0f}L{c.w / 2 + i * c.w / 6:.0f} {c.h:.0f}",
            times(floor, 0.45),
            1.5,
        )
    lights = c.rng.choice(
        (((1, 0.95, 0.75),) * 3, ((1, 0.5, 0.75), (1, 0.95, 0.75), (0.5, 0.75, 1)))
    )
    for k, light in zip((-0.34, 0.0, 0.34), lights, strict=True):
        x, bottom = c.w * (0.5 + k), c.w * (0.5 + k * 0.35)
        name = f"g{len(c.defs)}"
        c.defs.append(
            f'<linearGradient id="{name}" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-co'
            f'lor="{code(light)}" stop-opacity=".6"/>'
            f'<stop offset="1" stop-color="{code(light)}" stop-opacity=".08"/></linearGradient>'
        )
        c.path(
            f"M{x - 9:.0f} 0h18L{bottom + 96:.0f} {c.h * 0.9:.0f}H{bottom - 96:.0f}Z",
            f"url(#{name})",
        )
    c.ellipse(c.w / 2, c.h * 0.88, min(190, c.w * 0.4), 40, (1, 0.93, 0.75), 'opacity=".4"')
    red = c.rng.choice(((0.78, 0.12, 0.16), (0.7, 0.1, 0.2), (0.55, 0.14, 0.5)))
    for s in (-1, 1):
        for i in range(5):
            x = c.w / 2 + s * (c.w / 2 - i * 20) - 12
            fill = c.gradient(
                (
                    (0, times(red, 0.55)),
                    (0.45, mix(red, (1, 0.6, 0.5), 0.12)),
                    (1, times(red, 0.6)),
                ),
                f"{x:.0f} 0 {x + 24:.0f} 0",
            )
            c.rect(x, -5, 24, c.horizon + 42, fill, 6)
    n = max(6, round(c.w / 64))
    for i in range(n):
        x, w = c.w * i / n, c.w / n
        c.path(
            f"M{x:.0f} 0h{w:.0f}v26q{-w / 2:.0f} 44 {-w:.0f} 0z",
            c.gradient(
                ((0, times(red, 0.7)), (0.5, mix(red, (1, 0.6, 0.5), 0.15)), (1, times(red, 0.7))),
                f"{x:.0f} 0 {x + w:.0f} 0",
            ),
        )
    c.rect(0, 0, c.w, 9, (0.93, 0.72, 0.3))


INDOORS = {
    "studio": studio, "room": room, "bedroom": bedroom, "kitchen": kitchen, "bathroom": bathroom,
    "restaurant": restaurant, "library": library, "stage": stage,
}  # fmt: skip
