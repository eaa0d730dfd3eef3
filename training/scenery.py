"""What places are made of: hills, mountains, trees, flowers, water, houses."""

import math

from training.canvas import (
    SKIES,
    Canvas,
    Colour,
    Point,
    code,
    mix,
    straight,
    times,
)

GRASS: Colour = (0.5, 0.76, 0.33)
DEEP_GRASS: Colour = (0.28, 0.58, 0.24)


def seas(c: Canvas) -> tuple[Colour, Colour]:
    """The water's colour far away and near."""
    far: Colour = {
        "day": (0.3, 0.68, 0.88),
        "dawn": (0.72, 0.76, 0.86),
        "sunset": (0.95, 0.58, 0.46),
    }.get(c.time, mix(SKIES[c.sky_time][-1][1], (0.2, 0.4, 0.6), 0.35))
    near: Colour = {
        "day": (0.07, 0.4, 0.68),
        "dawn": (0.36, 0.48, 0.7),
        "sunset": (0.36, 0.2, 0.42),
    }.get(c.time, times((0.12, 0.36, 0.6), 0.5 if c.time == "night" else 0.75))
    if c.weather in ("rain", "storm", "fog"):
        far, near = mix(far, (0.45, 0.5, 0.56), 0.6), mix(near, (0.22, 0.28, 0.36), 0.6)
    return far, near


def hills(c: Canvas, y: float, swing: float, colour: Colour, far: float) -> None:
    top, bottom = c.veiled(colour, far * 0.6), c.veiled(times(colour, 0.86), far)
    c.ground(c.wavy(y, swing, 120), c.down(top, bottom, y - swing, y + 60))


def mountains(c: Canvas, base: float, tall: float, far: float, snow: bool = True) -> None:
    """A range of two-sided peaks."""
    x = c.u(-90, -30)
    while x < c.w + 40:
        wide, high = c.u(120, 220), tall * c.u(0.6, 1)
        peak = (x + wide * c.u(0.42, 0.58), base - high)
        left, right = (x - 20, base + 6), (x + wide + 20, base + 6)
        fold = [
            (peak[0] + c.u(-4, 10), peak[1] + high * t + 0.0)
            if i % 2
            else (peak[0] + c.u(8, 22), peak[1] + high * t)
            for i, t in enumerate((0.22, 0.4, 0.62, 0.82, 1.05))
        ]
        rock: Colour = (0.5, 0.53, 0.66)
        c.path(straight([left, peak, right]), c.veiled(times(rock, 0.74), far))
        c.path(straight([left, peak, *fold]), c.veiled(mix(rock, (1, 1, 1), 0.16), far))
        if snow:
            line = c.u(0.3, 0.42)
            a, b = _between(peak, left, line), _between(peak, right, line)
            n = 6
            jag = [
                (a[0] + (b[0] - a[0]) * i / n, a[1] + (b[1] - a[1]) * i / n + (-10 if i % 2 else 7))
                for i in range(1, n)
            ]
            c.path(straight([a, peak, b, *reversed(jag)]), c.veiled((0.98, 0.99, 1), far * 0.7))
            c.path(
                straight([peak, b, jag[-1], jag[-2], fold[0]]),
                c.veiled((0.78, 0.84, 0.94), far * 0.7),
            )
        x += wide * c.u(0.5, 0.75)


def _between(a: Point, b: Point, t: float) -> Point:
    return a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t


def conifer(c: Canvas, x: float, base: float, high: float, far: float, snowy: bool = False) -> None:
    green: Colour = (0.15, 0.45, 0.28)
    c.rect(
        x - high * 0.03,
        base - high * 0.16,
        high * 0.06,
        high * 0.16,
        c.veiled((0.42, 0.28, 0.2), far),
    )
    for i in range(4):
        top = base - high + i * high * 0.19
        bottom, half = top + high * 0.34, high * (0.1 + 0.055 * i)
        fill = c.across(
            c.veiled(mix(green, (0.5, 0.8, 0.4), 0.22), far),
            c.veiled(times(green, 0.8), far),
            x - half,
            x + half,
        )
        d = (
            f"M{x:.1f} {top:.1f}Q{x + half * 0.4:.1f} {bottom - high * 0.08:.1f}"
            f" {x + half:.1f} {bottom:.1f}"
            f"Q{x:.1f} {bottom + high * 0.05:.1f} {x - half:.1f} {bottom:.1f}"
            f"Q{x - half * 0.4:.1f} {bottom - high * 0.08:.1f} {x:.1f} {top:.1f}Z"
        )
        c.path(d, fill)
        if snowy:
            k = 0.5
            y = top + (bottom - top) * k
            c.path(
                f"M{x:.1f} {top:.1f}L{x + half * k * 0.8:.1f} {y:.1f}Q{x:.1f} {y - 5:.1f}"
                f" {x - half * k * 0.8:.1f} {y:.1f}Z",
                c.veiled((0.97, 0.98, 1), far),
            )


def tree(
    c: Canvas, x: float, base: float, high: float, far: float, crown: Colour = (0.36, 0.66, 0.28)
) -> None:
    """A trunk with branches under a crown of puffs."""
    bark = c.veiled((0.46, 0.31, 0.22), far)
    w = high * 0.06
    c.path(
        f"M{x - w:.1f} {base:.1f}Q{x - w * 0.4:.1f} {base - high * 0.2:.1f} {x - w * 0.5:.1f}"
        f" {base - high * 0.5:.1f}"
        f"L{x + w * 0.5:.1f} {base - high * 0.5:.1f}Q{x + w * 0.4:.1f} {base - high * 0.2:.1f}"
        f" {x + w:.1f} {base:.1f}Z",
        bark,
    )
    puffs = [
        (0, 0.62, 0.2),
        (-0.2, 0.58, 0.16),
        (0.2, 0.58, 0.16),
        (-0.11, 0.76, 0.17),
        (0.13, 0.75, 0.17),
        (0, 0.84, 0.14),
    ]
    for dx, dy, r in puffs:
        c.ball(
            x + high * (dx + c.u(-0.02, 0.02)),
            base - high * dy,
            high * r,
            c.veiled(times(crown, c.u(0.93, 1.06)), far),
        )


def palm(c: Canvas, x: float, base: float, high: float, lean: float) -> None:
    tip = (x + lean * high, base - high)
    c.stroke(
        f"M{x:.1f} {base:.1f}Q{x:.1f} {base - high * 0.6:.1f} {tip[0]:.1f} {tip[1]:.1f}",
        c.lit((0.6, 0.43, 0.28)),
        high * 0.06,
    )
    for i in range(7):
        a = math.pi * (0.02 + 0.96 * i / 6)
        r = high * c.u(0.36, 0.46)
        ex, ey = tip[0] + r * math.cos(a), tip[1] - r * 0.5 * math.sin(a) + r * 0.34
        mx, my = tip[0] + r * 0.55 * math.cos(a), tip[1] - r * 0.62 * math.sin(a) - 6
        green = c.lit(times((0.25, 0.62, 0.3), c.u(0.85, 1.15)))
        c.path(
            f"M{tip[0]:.1f} {tip[1]:.1f}Q{mx:.1f} {my - 6:.1f} {ex:.1f} {ey:.1f}Q{mx:.1f}"
            f" {my + 12:.1f} {tip[0]:.1f} {tip[1] + 4:.1f}Z",
            green,
        )


def tufts(c: Canvas, top: float, colour: Colour, n: int) -> None:
    d = ""
    for _ in range(int(n * c.w / 512)):
        t = c.rng.random() ** 0.7
        x, y, s = c.u(0, c.w), top + 8 + t * (c.h - top), 3 + 8 * t
        d += (
            f"M{x - s * 0.4:.1f} {y - s * 0.8:.1f}L{x:.1f} {y:.1f}L{x + 0.1 * s:.1f}"
            f" {y - s:.1f}M{x:.1f} {y:.1f}L{x + s * 0.5:.1f} {y - s * 0.7:.1f}"
        )
    c.stroke(d, colour, 1.5, 'opacity=".55"')


def flowers(c: Canvas, top: float, n: int, tones: tuple[Colour, ...], stem: float = 1.0) -> None:
    spots = sorted((c.rng.random() ** 0.8, c.u(0, c.w)) for _ in range(int(n * c.w / 512)))
    for t, x in spots:
        y, s = top + 6 + t * (c.h - top - 6), 2.2 + 4.5 * t
        c.stroke(
            f"M{x:.1f} {y:.1f}L{x:.1f} {y - 2.6 * s * stem:.1f}",
            c.lit((0.25, 0.5, 0.2)),
            0.5 + 0.3 * s,
        )
        tone = c.lit(c.rng.choice(tones))
        y -= 2.6 * s * stem
        petals = "".join(
            f'<circle cx="{x + s * 0.62 * math.cos(a * 1.2566):.1f}" '
            f'cy="{y + s * 0.62 * math.sin(a * 1.2566):.1f}" r="{s * 0.5:.1f}"/>'
            for a in range(5)
        )
        c.add(f'<g fill="{code(tone)}">{petals}</g>')
        c.ellipse(x, y, s * 0.4, s * 0.4, c.lit((1, 0.85, 0.3)))


def ripples(c: Canvas, top: float, bottom: float, n: int, tone: Colour = (1, 1, 1)) -> None:
    d = ""
    for _ in range(int(n * c.w / 512)):
        t = c.rng.random() ** 0.8
        x, y, s = c.u(0, c.w), top + 4 + t * (bottom - top - 6), 8 + 34 * t
        d += f"M{x - s / 2:.1f} {y:.1f}q{s / 4:.1f} {-2 - 2 * t:.1f} {s / 2:.1f} 0t{s / 2:.1f} 0"
    c.stroke(d, mix(c.haze, tone, 0.5), 1.6, 'opacity=".4"')


def water(c: Canvas, top: float) -> None:
    far, near = seas(c)
    c.rect(0, top, c.w, c.h - top, c.down(far, near, top, c.h))
    ripples(c, top, c.h, 46)


def skyline(c: Canvas, base: float, layers: int = 3) -> None:
    tones: tuple[Colour, ...] = ((0.62, 0.7, 0.82), (0.5, 0.56, 0.72), (0.42, 0.45, 0.6))
    lit = c.dark or c.time == "sunset"
    for i in range(layers):
        x = c.u(-30, 0)
        far = (0.55, 0.3, 0.08)[i + 3 - layers]
        while x < c.w:
            wide, high = c.u(38, 78), c.u(110, 240) * (1 - 0.17 * i) * min(1.0, c.horizon / 300)
            hue = c.rng.choice(((1, 1, 1), (1.08, 0.95, 0.92), (0.94, 1, 1.05), (1.05, 1.02, 0.92)))
            tone = c.veiled(times(tones[i], hue), far)
            top = base - high
            c.rect(
                x,
                top,
                wide,
                high + 4,
                c.across(mix(tone, (1, 1, 1), 0.12), times(tone, 0.9), x, x + wide),
                2,
            )
            if c.rng.random() < 0.3:
                c.rect(x + wide / 2 - 1.5, top - 18, 3, 18, tone)
            windows(c, x, top, wide, high, far, lit)
            x += wide + c.u(-3, 8)


def windows(c: Canvas, x: float, y: float, w: float, h: float, far: float, lit: bool) -> None:
    glass = mix((1, 0.86, 0.5) if lit else c.veiled((0.72, 0.88, 1), far), c.haze, far * 0.5)
    cells = ""
    wy = y + 9
    while wy < y + h - 8:
        wx = x + 7
        while wx < x + w - 9:
            if c.rng.random() < (0.5 if lit else 0.8):
                cells += f"M{wx:.1f} {wy:.1f}h6v7h-6z"
            wx += 11
        wy += 14
    c.path(cells or "M0 0", glass, 'opacity=".85"')


def leaf(c: Canvas, x: float, y: float, dx: float, dy: float) -> None:
    green = c.lit(times((0.2, 0.62, 0.3), c.u(0.75, 1.2)))
    nx, ny = -dy * 0.28, dx * 0.28
    mx, my, ex, ey = x + dx / 2, y + dy / 2, x + dx, y + dy
    c.path(
        f"M{x:.1f} {y:.1f}Q{mx + nx:.1f} {my + ny:.1f} {ex:.1f} {ey:.1f}Q{mx - nx:.1f}"
        f" {my - ny:.1f} {x:.1f} {y:.1f}Z",
        green,
    )
    c.stroke(f"M{x:.1f} {y:.1f}L{ex:.1f} {ey:.1f}", times(green, 1.25), 1.6)


def rocks(c: Canvas, top: float, n: int, tone: Colour = (0.62, 0.63, 0.67)) -> None:
    for _ in range(n):
        x, y, s = c.u(0, c.w), c.u(top + 12, c.h), c.u(6, 16)
        c.path(
            f"M{x - s:.1f} {y:.1f}Q{x - s:.1f} {y - s:.1f} {x - 0.2 * s:.1f} {y - 1.1 * s:.1f}"
            f"Q{x + s:.1f} {y - s:.1f} {x + 1.2 * s:.1f} {y:.1f}Z",
            c.down(c.lit(mix(tone, (1, 1, 1), 0.2)), c.lit(times(tone, 0.8)), y - s, y),
        )


def dots(c: Canvas, top: float, n: int, tone: Colour) -> None:
    spots = "".join(
        f'<circle cx="{c.u(0, c.w):.1f}" cy="{c.u(top, c.h):.1f}" r="{c.u(0.8, 2):.1f}"/>'
        for _ in range(int(n * c.w / 512))
    )
    c.add(f'<g fill="{code(tone)}" opacity=".5">{spots}</g>')
