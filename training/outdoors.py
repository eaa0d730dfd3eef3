"""Wild places: under the sky, under water and beyond."""

import math

from training.canvas import (
    Canvas,
    Colour,
    cloud,
    mix,
    sky,
    stars,
    straight,
    times,
)
from training.scenery import (
    DEEP_GRASS,
    GRASS,
    conifer,
    dots,
    flowers,
    hills,
    leaf,
    mountains,
    palm,
    ripples,
    rocks,
    seas,
    tree,
    tufts,
    water,
)


def meadow(c: Canvas) -> None:
    sky(c)
    hills(c, c.horizon - 26, 14, (0.5, 0.7, 0.55), 0.5)
    hills(c, c.horizon - 4, 8, (0.47, 0.72, 0.4), 0.22)
    if c.rng.random() < 0.6:
        for _ in range(c.rng.randint(1, 3)):
            tree(c, c.u(0, c.w), c.horizon + 8, c.u(50, 90), 0.3)
    y = c.horizon + 14
    c.ground(c.wavy(y, 5, 150), c.down(c.lit(GRASS), c.lit(DEEP_GRASS), y, c.h))
    tufts(c, y, c.lit((0.3, 0.56, 0.22)), 120)
    flowers(
        c,
        y + 10,
        c.rng.randint(8, 26),
        ((1, 1, 1), (1, 0.85, 0.3), (0.98, 0.6, 0.7), (0.75, 0.6, 0.95)),
    )


def garden(c: Canvas) -> None:
    sky(c)
    hills(c, c.horizon - 34, 8, (0.4, 0.64, 0.36), 0.3)
    for i in range(int(c.w / 46) + 2):  # a hedge
        c.ball(
            i * 46 + c.u(-8, 8),
            c.horizon - 14 + c.u(-5, 5),
            c.u(32, 40),
            c.veiled((0.3, 0.58, 0.28), 0.12),
        )
    tone = c.lit((0.97, 0.96, 0.93))
    for i in range(int(c.w / 24) + 1):  # a fence
        c.path(f"M{i * 24 + 4} {c.horizon + 26:.0f}v-44l7 -9l7 9v44z", tone)
    c.rect(0, c.horizon - 8, c.w, 6, times(tone, 0.9))
    c.rect(0, c.horizon + 10, c.w, 6, times(tone, 0.9))
    y = c.horizon + 22
    c.ground(
        [(-20, y), (c.w / 2, y - 2), (c.w + 20, y)],
        c.down(c.lit((0.55, 0.8, 0.4)), c.lit((0.3, 0.6, 0.28)), y, c.h),
    )
    path = c.u(0.35, 0.65) * c.w
    c.path(
        f"M{path - 14:.0f} {y:.0f}Q{path - 60:.0f} {c.h - 80:.0f} {path - 110:.0f} {c.h:.0f}"
        f"H{path + 90:.0f}"
        f"Q{path + 20:.0f} {c.h - 80:.0f} {path + 14:.0f} {y:.0f}Z",
        c.down(c.lit((0.93, 0.86, 0.7)), c.lit((0.85, 0.75, 0.58)), y, c.h),
    )
    for side in (0.0, 0.72):
        for _ in range(9):
            x = (side + c.u(0, 0.28)) * c.w
            c.ball(x, y + c.u(0, 26), c.u(9, 16), c.lit((0.32, 0.62, 0.3)))
    tones = ((0.95, 0.3, 0.35), (1, 0.75, 0.2), (0.95, 0.5, 0.75), (0.7, 0.45, 0.9), (1, 1, 1))
    flowers(c, y - 2, 60, tones)


def forest(c: Canvas) -> None:
    sky(c, (0, 2))
    for layer, (far, n, tall) in enumerate(((0.62, 14, 190), (0.36, 10, 240), (0.1, 7, 300))):
        for i in range(int(n * c.w / 512)):
            x = (i + c.u(0, 1)) * 512 / n
            keep = layer == 2 and 0.3 < x / c.w < 0.7
            conifer(
                c,
                x,
                c.horizon + 6 + layer * 12,
                tall * c.u(0.75, 1.1) * (0.6 if keep else 1),
                far,
                c.weather == "snow",
            )
    y = c.horizon + 26
    c.ground(c.wavy(y, 6, 130), c.down(c.lit((0.4, 0.6, 0.3)), c.lit((0.2, 0.4, 0.2)), y, c.h))
    tufts(c, y, c.lit((0.22, 0.42, 0.2)), 90)
    for _ in range(c.rng.randint(0, 5)):
        x, yy = c.u(0, c.w), c.u(y + 15, c.h)
        c.rect(x - 2.5, yy - 9, 5, 10, c.lit((0.95, 0.9, 0.8)), 2)
        c.path(
            f"M{x - 9:.1f} {yy - 8:.1f}Q{x:.1f} {yy - 25:.1f} {x + 9:.1f} {yy - 8:.1f}Z",
            c.lit((0.85, 0.3, 0.22)),
        )


def jungle(c: Canvas) -> None:
    c.rect(
        0,
        0,
        c.w,
        c.h,
        c.down(c.veiled((0.62, 0.86, 0.5), 0.3), c.veiled((0.25, 0.55, 0.3), 0.1), 0, c.h),
    )
    c.glow(c.u(0.3, 0.7) * c.w, 0.2 * c.h, 230, mix(c.haze, (1, 1, 0.8), 0.5), 0.7)
    for far in (0.35, 0.12):
        for _ in range(int(9 * c.w / 512)):
            x = c.u(0, c.w)
            c.stroke(
                f"M{x:.0f} {c.horizon + 20:.0f}Q{x + c.u(-20, 20):.0f} {c.h * 0.3:.0f}"
                f" {x + c.u(-30, 30):.0f} -10",
                c.veiled((0.36, 0.32, 0.2), far),
                c.u(7, 16),
            )
        for _ in range(int(16 * c.w / 512)):
            c.ball(
                c.u(0, c.w),
                c.u(-20, 0.2 * c.h),
                c.u(34, 64),
                c.veiled(times((0.2, 0.56, 0.26), c.u(0.85, 1.15)), far),
            )
    for _ in range(int(5 * c.w / 512)):  # lianas
        x, n = c.u(0, c.w), c.u(90, 240)
        c.stroke(
            f"M{x:.0f} 0Q{x + c.u(-30, 30):.0f} {n / 2:.0f} {x + c.u(-14, 14):.0f} {n:.0f}",
            c.lit((0.28, 0.46, 0.2)),
            4,
        )
    y = c.horizon + 10
    c.ground(
        c.wavy(y, 8, 110), c.down(c.lit((0.36, 0.58, 0.28)), c.lit((0.18, 0.36, 0.16)), y, c.h)
    )
    for side in (-1, 1):
        for i in range(7):
            leaf(
                c,
                (0.5 + side * 0.5) * c.w - side * c.u(-10, 30),
                c.h * (0.35 + 0.1 * i) + c.u(-15, 15),
                -side * c.u(60, 120),
                c.u(-70, 20),
            )
    for _ in range(int(9 * c.w / 512)):
        x = c.u(0, c.w)
        for k in (-1, 0, 1):
            leaf(c, x, y + 14, k * 22 + c.u(-5, 5), c.u(-48, -28))


def mountains_place(c: Canvas) -> None:
    sky(c)
    mountains(c, c.horizon + 6, 170, 0.55)
    mountains(c, c.horizon + 10, 130, 0.25)
    hills(c, c.horizon - 2, 10, (0.34, 0.56, 0.36), 0.15)
    for _ in range(int(14 * c.w / 512)):
        conifer(c, c.u(0, c.w), c.horizon + c.u(8, 22), c.u(34, 58), 0.15, c.weather == "snow")
    y = c.horizon + 20
    c.ground(c.wavy(y, 7, 150), c.down(c.lit((0.52, 0.72, 0.4)), c.lit((0.32, 0.54, 0.28)), y, c.h))
    tufts(c, y, c.lit((0.3, 0.5, 0.24)), 80)
    rocks(c, y, 5)


def lake(c: Canvas) -> None:
    sky(c)
    mountains(c, c.horizon, 120, 0.45, c.rng.random() < 0.7)
    for _ in range(int(26 * c.w / 512)):
        conifer(c, c.u(0, c.w), c.horizon + c.u(0, 6), c.u(30, 62), 0.22, c.weather == "snow")
    far, near = seas(c)
    top = c.horizon + 4
    c.rect(
        0,
        top,
        c.w,
        c.h - top,
        c.down(mix(far, c.lit((0.3, 0.55, 0.45)), 0.4), near, top, c.h * 0.95),
    )
    ripples(c, top, c.h * 0.9, 50)
    y = 0.9 * c.h
    c.ground(c.wavy(y - 4, 4, 130), c.lit((0.86, 0.8, 0.62)))
    c.ground(c.wavy(y + 4, 5, 130), c.down(c.lit(GRASS), c.lit(DEEP_GRASS), y, c.h))
    for side in (c.u(0, 0.14), c.u(0.86, 1)):
        for _ in range(9):
            x, s = side * c.w + c.u(-26, 26), c.u(34, 74)
            c.stroke(
                f"M{x:.1f} {y + 14:.1f}Q{x:.1f} {y - s / 2:.1f} {x + c.u(-8, 8):.1f} {y - s:.1f}",
                c.lit((0.36, 0.56, 0.24)),
                2.4,
            )
            c.rect(x - 2.5, y - s - 8, 6, 18, c.lit((0.5, 0.33, 0.2)), 3)


def sea(c: Canvas) -> None:
    sky(c)
    water(c, c.horizon)
    far, near = seas(c)
    for i in range(5):
        t = (i + 1) / 6
        y = c.horizon + (c.h - c.horizon) * t**1.3
        tone = mix(far, near, t)
        amp, step = 3 + 7 * t, 40 + 60 * t
        n = int(c.w / step) + 3
        x0 = c.u(-step, 0)
        crest = "".join(
            f"Q{x0 + (k + 0.5) * step:.1f} {y - 2 * amp:.1f} {x0 + (k + 1) * step:.1f} {y:.1f}"
            for k in range(n)
        )
        d = f"M{x0:.1f} {y:.1f}{crest}V{c.h:.0f}H{x0:.1f}Z"
        c.path(d, c.down(mix(tone, (1, 1, 1), 0.18), tone, y - amp, y + 40))
        c.stroke(
            f"M{x0:.1f} {y:.1f}{crest}", mix(tone, (1, 1, 1), 0.6), 1.2 + 1.6 * t, 'opacity=".6"'
        )


def beach(c: Canvas) -> None:
    sky(c)
    if c.rng.random() < 0.4:
        x = c.u(0.2, 0.8) * c.w
        c.path(
            f"M{x - 70:.0f} {c.horizon + 3:.0f}Q{x - 20:.0f} {c.horizon - 34:.0f} {x + 70:.0f}"
            f" {c.horizon + 3:.0f}Z",
            c.veiled((0.3, 0.6, 0.4), 0.4),
        )
    water(c, c.horizon)
    y = 0.74 * c.h
    wave = c.wavy(y, 8, 150)
    c.ground([(a, b - 7) for a, b in wave], mix(seas(c)[0], (1, 1, 1), 0.35))
    c.ground([(a, b - 1) for a, b in wave], c.lit((1, 1, 1)))
    c.ground([(a, b + 5) for a, b in wave], c.lit((0.86, 0.74, 0.52)))
    c.ground(
        [(a, b + 16) for a, b in wave],
        c.down(c.lit((0.99, 0.91, 0.7)), c.lit((0.94, 0.8, 0.54)), y, c.h),
    )
    dots(c, y + 24, 70, c.lit((0.8, 0.66, 0.42)))
    if c.rng.random() < 0.6:
        left = c.rng.random() < 0.5
        palm(c, c.w * (0.07 if left else 0.93), 0.86 * c.h, c.u(210, 270), 0.12 if left else -0.12)
    for _ in range(c.rng.randint(0, 3)):
        x, yy = c.u(0, c.w), c.u(y + 30, c.h - 8)
        points = [
            (
                x + (9 if i % 2 == 0 else 4) * math.cos(i * math.pi / 5),
                yy + (7 if i % 2 == 0 else 3) * math.sin(i * math.pi / 5),
            )
            for i in range(10)
        ]
        c.path(straight(points), c.lit((0.98, 0.55, 0.4)), 'stroke-linejoin="round"')


def underwater(c: Canvas) -> None:
    dim = {"night": 0.4, "twilight": 0.6, "sunset": 0.85, "dawn": 0.92, "grey": 0.8}.get(
        c.time, 1.0
    )
    tones = [
        (0, times((0.45, 0.86, 0.94), dim)),
        (0.45, times((0.12, 0.56, 0.8), dim)),
        (1, times((0.04, 0.27, 0.55), dim)),
    ]
    c.rect(0, 0, c.w, c.h, c.gradient(tones, f"0 0 0 {c.h:.0f}"))
    for _ in range(5):
        x, w, lean = c.u(0, c.w), c.u(16, 46), c.u(-140, 140)
        fade = c.down((1, 1, 1), (0.2, 0.6, 0.85), 0, c.h * 0.9)
        c.path(
            f"M{x:.0f} -5H{x + w:.0f}L{x + lean + 2.2 * w:.0f} {c.h * 0.9:.0f}H{x + lean:.0f}Z",
            fade,
            f'opacity="{0.12 * dim:.2f}"',
        )
    y = c.horizon
    for far in (0.6, 0.3):
        c.ground(
            c.wavy(y - 36 * far, 12, 100), times(mix((0.2, 0.4, 0.5), (0.1, 0.5, 0.75), far), dim)
        )
    c.ground(
        c.wavy(y, 7, 130),
        c.down(times((0.93, 0.86, 0.62), dim), times((0.66, 0.6, 0.46), dim), y, c.h),
    )
    for _ in range(int(10 * c.w / 512)):
        x = c.rng.choice((c.u(0, 0.3), c.u(0.7, 1))) * c.w
        s, k = c.u(50, 150), c.u(6, 12)
        green = times((0.16, 0.58, 0.36), c.u(0.8, 1.2) * dim)
        c.stroke(
            f"M{x:.0f} {y + 26:.0f}c{k:.0f} {-s / 3:.0f} {-k:.0f} {-s / 3:.0f} 0"
            f" {-s * 2 / 3:.0f}s{k / 2:.0f} {-s / 4:.0f} 0 {-s / 3:.0f}",
            green,
            c.u(5, 8),
        )
    for _ in range(int(8 * c.w / 512)):
        x, yy = c.u(0, c.w), c.u(y + 12, c.h + 4)
        tone = times(
            c.rng.choice(((0.98, 0.5, 0.5), (0.95, 0.6, 0.8), (1, 0.7, 0.35), (0.7, 0.5, 0.85))),
            dim,
        )
        for k in (-1, 0, 1):
            c.stroke(f"M{x:.0f} {yy:.0f}q{k * 4:.0f} -10 {k * 10:.0f} -22", tone, 6)
    bubbles = "".join(
        f'<circle cx="{c.u(0, c.w):.0f}" cy="{c.u(0, c.h * 0.9):.0f}" r="{c.u(2, 7):.1f}"/>'
        for _ in range(24)
    )
    c.add(
        '<g fill="#fff" fill-opacity=".12" stroke="#e8ffff" stroke-opacity=".6" stroke-widt'
        f'h="1.3">{bubbles}</g>'
    )


def desert(c: Canvas) -> None:
    sky(c, (0, 2))
    for x in (c.u(0, 0.3), c.u(0.6, 0.95)):
        w, t = c.u(50, 90), c.horizon - c.u(40, 80)
        a = x * c.w
        c.path(
            f"M{a - w:.0f} {c.horizon + 5:.0f}L{a - w * 0.8:.0f} {t:.0f}H{a + w * 0.7:.0f}"
            f"L{a + w:.0f} {c.horizon + 5:.0f}Z",
            c.across(
                c.veiled((0.86, 0.52, 0.34), 0.4), c.veiled((0.66, 0.38, 0.3), 0.4), a - w, a + w
            ),
        )
    sand: Colour = (0.98, 0.82, 0.52)
    for i, shade in enumerate((0.92, 1.0)):
        y = c.horizon + 4 + 34 * i
        c.ground(
            c.wavy(y, 12, 170),
            c.down(c.lit(times(sand, shade)), c.lit(times((0.88, 0.64, 0.36), shade)), y - 10, c.h),
        )
        x = c.u(0.2, 0.8) * c.w
        c.path(
            f"M{x:.0f} {y - 8:.0f}Q{x + 70:.0f} {y + 10:.0f} {x + 60:.0f} {y + 60:.0f}"
            f"Q{x + 150:.0f} {y + 20:.0f} {x:.0f} {y - 8:.0f}Z",
            c.lit((0.84, 0.62, 0.36)),
            'opacity=".5"',
        )
    for _ in range(c.rng.randint(2, 4)):
        x = c.rng.choice((c.u(0.02, 0.25), c.u(0.75, 0.98))) * c.w
        y, s = c.horizon + c.u(30, 80), c.u(26, 56)
        green = c.lit((0.3, 0.6, 0.36))
        c.stroke(f"M{x:.0f} {y:.0f}V{y - s:.0f}", green, s * 0.24)
        c.stroke(
            f"M{x:.0f} {y - s * 0.35:.0f}h{s * 0.34:.0f}v{-s * 0.3:.0f}",
            green,
            s * 0.16,
            'stroke-linejoin="round"',
        )
        c.stroke(
            f"M{x:.0f} {y - s * 0.5:.0f}h{-s * 0.34:.0f}v{-s * 0.22:.0f}",
            green,
            s * 0.16,
            'stroke-linejoin="round"',
        )
    d = ""
    for _ in range(16):
        x, y = c.u(0, c.w), c.u(c.horizon + 60, c.h)
        d += f"M{x:.0f} {y:.0f}q20 -7 40 0t40 0"
    c.stroke(d, c.lit((0.86, 0.64, 0.36)), 2, 'opacity=".5"')


def snow(c: Canvas) -> None:
    sky(c)
    mountains(c, c.horizon + 4, 120, 0.5)
    for _ in range(int(13 * c.w / 512)):
        x = c.u(0, c.w)
        conifer(c, x, c.horizon + c.u(4, 26), c.u(60, 120), 0.2, True)
    y = c.horizon + 14
    for i, swing in enumerate((8, 6)):
        c.ground(
            c.wavy(y + 44 * i, swing, 150),
            c.down(c.lit((0.99, 1, 1)), c.lit((0.82, 0.89, 0.97)), y + 44 * i, c.h + 40),
        )
    dots(c, y + 10, 40, c.lit((0.72, 0.82, 0.95)))


def space(c: Canvas) -> None:
    c.rect(0, 0, c.w, c.h, c.down((0.05, 0.04, 0.17), (0.11, 0.07, 0.27), 0, c.h))
    for tone in ((0.55, 0.2, 0.65), (0.15, 0.35, 0.75), (0.8, 0.3, 0.5)):
        for _ in range(2):
            c.glow(c.u(0, c.w), c.u(0, c.h), c.u(120, 260), tone, c.u(0.2, 0.42))
    stars(c, c.h, int(230 * c.w * c.h / 512**2))
    tones: tuple[Colour, ...] = (
        (0.93, 0.62, 0.4),
        (0.45, 0.7, 0.9),
        (0.85, 0.5, 0.7),
        (0.6, 0.8, 0.6),
    )
    for corner in c.rng.sample(((0.12, 0.14), (0.88, 0.16), (0.1, 0.86), (0.9, 0.86)), 2):
        x, y, r = corner[0] * c.w, corner[1] * c.h, c.u(18, 44)
        tone = c.rng.choice(tones)
        c.ball(x, y, r, tone)
        if c.rng.random() < 0.5:
            c.add(
                f'<ellipse cx="{x:.0f}" cy="{y:.0f}" rx="{r * 1.7:.0f}" ry="{r * 0.4:.0f}" fil'
                'l="none" stroke="#f3dcae" stroke-width="4" opacity=".85" transform="rota'
                f'te(-18 {x:.0f} {y:.0f})"/>'
            )


def moon(c: Canvas) -> None:
    c.rect(0, 0, c.w, c.h, c.down((0.02, 0.02, 0.08), (0.08, 0.08, 0.2), 0, c.horizon))
    stars(c, c.horizon, 160)
    x, y = c.rng.choice((0.2, 0.8)) * c.w, c.u(0.14, 0.24) * c.h
    c.glow(x, y, 90, (0.4, 0.65, 1), 0.5)
    c.ball(x, y, 42, (0.25, 0.52, 0.9))
    for dx, dy, land in ((-14, -8, 13), (6, 10, 11), (16, -16, 8), (-20, 14, 6)):
        c.ellipse(x + dx, y + dy, land, land * 0.7, (0.36, 0.7, 0.4), 'opacity=".85"')
    hill: Colour = (0.68, 0.68, 0.72)
    c.ground(c.wavy(c.horizon - 4, 14, 110), times(hill, 0.7))
    c.ground(
        c.wavy(c.horizon + 14, 7, 150),
        c.down((0.82, 0.82, 0.85), (0.55, 0.55, 0.6), c.horizon, c.h),
    )
    for _ in range(int(12 * c.w / 512)):
        t = c.rng.random()
        x, y = c.u(0, c.w), c.horizon + 30 + t * (c.h - c.horizon - 34)
        r = (8 + 30 * t) * c.u(0.5, 1)
        c.ellipse(x, y, r, r * 0.34, (0.58, 0.58, 0.63))
        c.ellipse(x, y + r * 0.07, r * 0.88, r * 0.26, (0.46, 0.46, 0.52))


def heaven(c: Canvas) -> None:
    """Up in the sky, above the clouds."""
    sky(c, (3, 5))
    for row in range(4):
        y = c.h * (0.8 + 0.07 * row)
        for i in range(int(c.w / 90) + 2):
            cloud(c, i * 90 + c.u(-40, 20), y + c.u(-8, 8), c.u(60, 96))


WILD = {
    "meadow": meadow,
    "garden": garden,
    "forest": forest,
    "jungle": jungle,
    "mountains": mountains_place,
    "lake": lake,
    "sea": sea,
    "beach": beach,
    "underwater": underwater,
    "desert": desert,
    "snow": snow,
    "space": space,
    "moon": moon,
    "sky": heaven,
}
