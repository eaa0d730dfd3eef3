"""Places that people made: streets, farms, a Japanese garden."""

import math

from training.canvas import (
    Canvas,
    Colour,
    code,
    mix,
    sky,
    straight,
    times,
)
from training.scenery import (
    hills,
    seas,
    skyline,
    tree,
    tufts,
)


def road(c: Canvas, half: float) -> None:
    y = c.horizon
    c.rect(0, y, c.w, c.h - y, c.down(c.lit((0.72, 0.71, 0.7)), c.lit((0.8, 0.78, 0.75)), y, c.h))
    m = c.w / 2
    c.path(
        f"M{m - 44:.0f} {y:.0f}H{m + 44:.0f}L{m + half:.0f} {c.h:.0f}H{m - half:.0f}Z",
        c.down(c.lit((0.44, 0.45, 0.5)), c.lit((0.34, 0.35, 0.4)), y, c.h),
    )
    for s in (-1, 1):
        c.path(
            f"M{m + s * 44:.0f} {y:.0f}h{s * 4}L{m + s * (half + 22):.0f} {c.h:.0f}h{-s * 22}Z",
            c.lit((0.9, 0.89, 0.86)),
        )
    for i in range(6):
        a, b = (i / 6) ** 1.6, ((i + 0.5) / 6) ** 1.6
        ya, yb, wa, wb = y + (c.h - y) * a, y + (c.h - y) * b, 2 + 10 * a, 2 + 10 * b
        c.path(
            f"M{m - wa / 2:.1f} {ya:.1f}h{wa:.1f}L{m + wb / 2:.1f} {yb:.1f}h{-wb:.1f}Z",
            c.lit((0.98, 0.93, 0.75)),
        )


def street(c: Canvas) -> None:
    """Houses on both sides of a road."""
    sky(c, (1, 3))
    tones: tuple[Colour, ...] = (
        (0.93, 0.55, 0.45),
        (0.98, 0.83, 0.5),
        (0.55, 0.75, 0.85),
        (0.96, 0.9, 0.8),
        (0.65, 0.8, 0.6),
        (0.85, 0.65, 0.8),
    )
    x = -20.0
    while x < c.w:
        wide, high = c.u(70, 104), c.u(110, 180)
        if abs(x + wide / 2 - c.w / 2) < 70:
            x += 30
            tree(c, x, c.horizon + 4, c.u(70, 100), 0.25)
            x += 20
            continue
        house(c, x, c.horizon + 8, wide, high, c.rng.choice(tones))
        x += wide + 2
    road(c, 0.42 * c.w)
    for s in (-1, 1):
        x = c.w * (0.5 + s * 0.4)
        lamp(c, x, c.horizon + 60, 150, s)


def house(c: Canvas, x: float, base: float, w: float, h: float, tone: Colour) -> None:
    wall = c.veiled(tone, 0.08)
    c.rect(x, base - h, w, h, c.down(mix(wall, (1, 1, 1), 0.12), wall, base - h, base))
    roof = c.veiled(c.rng.choice(((0.62, 0.3, 0.26), (0.4, 0.36, 0.42), (0.5, 0.34, 0.24))), 0.08)
    c.path(
        f"M{x - 4:.0f} {base - h:.0f}L{x + w * 0.2:.0f} {base - h - 26:.0f}H{x + w * 0.8:.0f}"
        f"L{x + w + 4:.0f} {base - h:.0f}Z",
        roof,
    )
    lit = c.dark
    for row in range(int((h - 50) / 34)):
        for k in range(2):
            on = lit and c.rng.random() < 0.65
            glass: Colour = (
                (1, 0.86, 0.5)
                if on
                else c.veiled((0.62, 0.8, 0.93) if not lit else (0.3, 0.35, 0.5), 0.05)
            )
            wx, wy = x + w * (0.18 + 0.42 * k), base - h + 14 + 34 * row
            c.rect(wx - 2, wy - 2, w * 0.22 + 4, 26, c.lit((1, 1, 0.97)), 2)
            c.rect(wx, wy, w * 0.22, 22, glass, 1)
    c.rect(x + w * 0.38, base - 38, w * 0.24, 38, c.lit((0.45, 0.3, 0.22)), 3)
    c.path(
        f"M{x + w * 0.28:.0f} {base - 42:.0f}h{w * 0.44:.0f}l6 12H{x + w * 0.28 - 6:.0f}Z",
        c.lit(c.rng.choice(((0.85, 0.3, 0.3), (0.3, 0.6, 0.5), (0.95, 0.7, 0.3)))),
    )


def lamp(c: Canvas, x: float, base: float, high: float, side: int) -> None:
    tone = c.lit((0.24, 0.26, 0.32))
    c.rect(x - 3, base - high, 6, high, tone, 2)
    c.rect(x - 8, base - 8, 16, 8, tone, 2)
    c.path(
        f"M{x - 12:.0f} {base - high - 2:.0f}h24l-4 -24h-16z",
        (1, 0.9, 0.6) if c.dark else c.lit((0.95, 0.93, 0.85)),
    )
    c.path(f"M{x - 11:.0f} {base - high - 26:.0f}h22l-11 -10z", tone)
    if c.dark:
        c.glow(x, base - high - 14, 80, (1, 0.85, 0.5), 0.6)


def city(c: Canvas) -> None:
    sky(c, (1, 3))
    skyline(c, c.horizon + 4)
    road(c, 0.56 * c.w)
    if c.dark:
        for _ in range(5):
            c.glow(
                c.u(0, c.w),
                c.horizon + c.u(0, 40),
                c.u(30, 60),
                c.rng.choice(((1, 0.4, 0.7), (0.3, 0.8, 1), (1, 0.8, 0.4))),
                0.35,
            )


def farm(c: Canvas) -> None:
    sky(c)
    hills(c, c.horizon - 20, 12, (0.55, 0.72, 0.4), 0.4)
    y = c.horizon
    left = c.rng.random() < 0.5
    for i in range(9):  # fields in strips
        tone: Colour = ((0.93, 0.8, 0.38), (0.56, 0.76, 0.34), (0.78, 0.68, 0.36))[i % 3]
        c.path(
            f"M{c.w * (i / 9):.0f} {y:.0f}H{c.w * ((i + 1) / 9):.0f}"
            f"L{c.w * ((i + 1.3) / 7 - 0.3):.0f} {y + 60:.0f}"
            f"H{c.w * ((i + 0.3) / 7 - 0.3):.0f}Z",
            c.veiled(tone, 0.1),
        )
    bx = c.w * (c.u(0.05, 0.12) if left else c.u(0.66, 0.74))
    barn(c, bx, y + 34, 112, 96)
    sx = bx + (130 if left else -40)
    c.rect(
        sx,
        y - 66,
        30,
        100,
        c.across(c.lit((0.9, 0.91, 0.93)), c.lit((0.68, 0.7, 0.75)), sx, sx + 30),
    )
    c.ellipse(sx + 15, y - 66, 15, 14, c.lit((0.75, 0.3, 0.26)))
    g = y + 32
    c.ground(c.wavy(g, 3, 160), c.down(c.lit((0.56, 0.76, 0.36)), c.lit((0.34, 0.6, 0.26)), g, c.h))
    tone = c.lit((0.6, 0.44, 0.3))
    for i in range(int(c.w / 62) + 2):
        c.rect(i * 62 - 10, g - 18, 8, 40, tone, 2)
    c.rect(0, g - 10, c.w, 6, tone)
    c.rect(0, g + 5, c.w, 6, tone)
    tufts(c, g + 20, c.lit((0.32, 0.56, 0.24)), 90)


def barn(c: Canvas, x: float, base: float, w: float, h: float) -> None:
    red = c.lit((0.8, 0.24, 0.2))
    c.path(
        straight(
            [
                (x, base),
                (x, base - h * 0.6),
                (x + w * 0.18, base - h * 0.86),
                (x + w / 2, base - h),
                (x + w * 0.82, base - h * 0.86),
                (x + w, base - h * 0.6),
                (x + w, base),
            ]
        ),
        c.across(mix(red, (1, 1, 1), 0.1), times(red, 0.85), x, x + w),
    )
    white = c.lit((0.97, 0.96, 0.94))
    c.stroke(
        "M"
        + "L".join(
            f"{a:.0f} {b:.0f}"
            for a, b in [
                (x - 5, base - h * 0.57),
                (x + w * 0.17, base - h * 0.87),
                (x + w / 2, base - h * 1.01),
                (x + w * 0.83, base - h * 0.87),
                (x + w + 5, base - h * 0.57),
            ]
        ),
        c.lit((0.45, 0.42, 0.46)),
        8,
        'stroke-linejoin="round"',
    )
    c.rect(
        x + w * 0.3,
        base - h * 0.45,
        w * 0.4,
        h * 0.45,
        times(red, 0.85),
        0,
        f'stroke="{code(white)}" stroke-width="3"',
    )
    c.stroke(
        f"M{x + w * 0.3:.0f} {base - h * 0.45:.0f}L{x + w * 0.7:.0f} {base:.0f}"
        f"M{x + w * 0.7:.0f} {base - h * 0.45:.0f}L{x + w * 0.3:.0f} {base:.0f}",
        white,
        3,
    )
    c.rect(
        x + w * 0.42,
        base - h * 0.78,
        w * 0.16,
        h * 0.16,
        (1, 0.85, 0.5) if c.dark else times(red, 0.5),
        0,
        f'stroke="{code(white)}" stroke-width="2.5"',
    )


def japan(c: Canvas) -> None:
    """A garden with a pond, cherry trees, a torii and the mountain."""
    sky(c, (1, 2))
    m = c.u(0.38, 0.62) * c.w
    b, t = c.horizon + 4, c.horizon - c.u(120, 150)
    body = (
        f"M{m - 210:.0f} {b:.0f}Q{m - 70:.0f} {t + 50:.0f} {m - 24:.0f} {t:.0f}"
        f"H{m + 24:.0f}Q{m + 70:.0f} {t + 50:.0f} {m + 210:.0f} {b:.0f}Z"
    )
    c.path(
        body,
        c.across(
            c.veiled((0.52, 0.58, 0.78), 0.35), c.veiled((0.36, 0.42, 0.64), 0.35), m - 150, m + 150
        ),
    )
    c.path(
        f"M{m - 24:.0f} {t:.0f}H{m + 24:.0f}Q{m + 46:.0f} {t + 34:.0f} {m + 66:.0f}"
        f" {t + 50:.0f}L{m + 40:.0f} {t + 42:.0f}L{m + 22:.0f} {t + 60:.0f}"
        f"L{m + 2:.0f} {t + 44:.0f}L{m - 22:.0f} {t + 62:.0f}L{m - 40:.0f} {t + 42:.0f}"
        f"L{m - 66:.0f} {t + 50:.0f}Q{m - 46:.0f} {t + 34:.0f} {m - 24:.0f} {t:.0f}Z",
        c.veiled((0.98, 0.98, 1), 0.1),
    )
    hills(c, c.horizon + 2, 9, (0.42, 0.64, 0.42), 0.3)
    y = c.horizon + 20
    c.ground(c.wavy(y, 4, 150), c.down(c.lit((0.52, 0.74, 0.4)), c.lit((0.3, 0.56, 0.3)), y, c.h))
    px, py = c.u(0.36, 0.64) * c.w, c.h * 0.84
    c.ellipse(px, py, 172, 46, c.lit((0.66, 0.64, 0.6)))
    far, near = seas(c)
    c.ellipse(px, py + 2, 160, 39, c.down(far, near, py - 40, py + 40))
    c.stroke(
        f"M{px - 60:.0f} {py + 12:.0f}q20 -5 40 0t40 0M{px + 30:.0f} {py - 8:.0f}q15 -4 30 0t30 0",
        (1, 1, 1),
        2,
        'opacity=".4"',
    )
    if c.rng.random() < 0.7:
        torii(c, (0.17 if c.rng.random() < 0.5 else 0.83) * c.w, y + 20, 92)
    pink = c.lit((0.99, 0.74, 0.84))
    for x, s in ((c.u(0.0, 0.1), c.u(230, 280)), (c.u(0.9, 1.0), c.u(230, 280))):
        blossom(c, x * c.w, y + 70, s, pink)
    petals = "".join(
        f'<ellipse cx="{c.u(0, c.w):.0f}" cy="{c.u(0, c.h):.0f}" rx="{c.u(2, 4):.1f}" ry="1.8"/>'
        for _ in range(40)
    )
    c.add(f'<g fill="{code(mix(pink, (1, 1, 1), 0.3))}" opacity=".9">{petals}</g>')


def torii(c: Canvas, x: float, base: float, s: float) -> None:
    red = c.lit((0.87, 0.28, 0.2))
    for k in (-0.36, 0.36):
        c.rect(x + k * s - 5, base - s * 0.86, 10, s * 0.86, red, 2)
    c.rect(x - s * 0.44, base - s * 0.68, s * 0.88, 8, red, 2)
    c.path(
        f"M{x - s * 0.62:.0f} {base - s * 1.02:.0f}Q{x:.0f} {base - s * 0.9:.0f}"
        f" {x + s * 0.62:.0f} {base - s * 1.02:.0f}V{base - s * 0.9:.0f}Q{x:.0f}"
        f" {base - s * 0.8:.0f} {x - s * 0.62:.0f} {base - s * 0.9:.0f}Z",
        times(red, 0.86),
    )


def blossom(c: Canvas, x: float, base: float, s: float, pink: Colour) -> None:
    bark = c.lit((0.4, 0.28, 0.25))
    c.stroke(
        f"M{x:.0f} {base:.0f}C{x - 12:.0f} {base - s * 0.3:.0f} {x + 16:.0f}"
        f" {base - s * 0.4:.0f} {x:.0f} {base - s * 0.66:.0f}",
        bark,
        s * 0.07,
    )
    c.stroke(
        f"M{x:.0f} {base - s * 0.42:.0f}L{x - s * 0.2:.0f} {base - s * 0.66:.0f}M{x:.0f}"
        f" {base - s * 0.46:.0f}L{x + s * 0.22:.0f} {base - s * 0.68:.0f}",
        bark,
        s * 0.035,
    )
    for _ in range(22):
        a, r = c.u(0, 2 * math.pi), c.rng.random() ** 0.5
        c.ball(
            x + s * 0.36 * r * math.cos(a),
            base - s * 0.76 + s * 0.2 * r * math.sin(a),
            s * c.u(0.075, 0.12),
            times(pink, c.u(0.92, 1.04)),
        )


MADE = {
    "street": street,
    "city": city,
    "farm": farm,
    "japan": japan,
}
