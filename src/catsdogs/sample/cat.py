"""A cat: pointed ears, a short muzzle, slit pupils, whiskers, a long thin tail. Each of them now and then missing."""

from catsdogs.sample.look import Brush, Colour, Look, Random, body, coat_pattern, shade

PINK = (226, 136, 140)
EYES: tuple[Colour, ...] = ((126, 196, 66), (226, 178, 40), (90, 170, 220), (150, 200, 90))


def draw_cat(brush: Brush, look: Look, random: Random) -> None:
    head = brush
    if look.pose != "face":
        _tail(brush, look, random)
        head = body(brush, look, random, legs=0.85)
    _ears(head, look, random)
    head.oval(0, 0, 0.86, 0.74, look.coat)
    coat_pattern(head, look, random, 0.8, 0.7)
    _muzzle(head, look, random)
    _eyes(head, look, random)


def _tail(brush: Brush, look: Look, random: Random) -> None:
    lift = random.uniform(-1.2, 0.4)
    start = (0.45, 1.5) if look.pose == "sitting" else (1.3, 0.3)
    end = (start[0] + random.uniform(0.3, 0.6), start[1] + lift)
    brush.curve(start, (start[0] + 0.7, start[1] + lift * 0.2), end, look.coat, 0.13)


def _ears(head: Brush, look: Look, random: Random) -> None:
    folded = random.random() < 0.12
    height = random.uniform(0.95, 1.3) if not folded else 0.72
    for side in (-1, 1):
        x = side * 0.55 * look.spread
        head.shape([(x - side * 0.42, -0.45), (x + side * 0.3, -0.25), (x + side * 0.14, -height)], look.coat)
        if not folded:
            head.shape([(x - side * 0.25, -0.5), (x + side * 0.18, -0.38), (x + side * 0.1, -height * 0.86)],
                       shade(PINK, random.uniform(0.8, 1.05)))


def _muzzle(head: Brush, look: Look, random: Random) -> None:
    pale = shade(look.belly, 1.05)
    for side in (-1, 1):
        head.oval(side * 0.17, 0.32, 0.22, 0.17, pale)
    nose = PINK if random.random() < 0.6 else (60, 48, 50)
    head.shape([(-0.11, 0.14), (0.11, 0.14), (0, 0.27)], nose)
    head.curve((0, 0.27), (-0.02, 0.4), (-0.17, 0.42), (70, 50, 50), 0.025)
    head.curve((0, 0.27), (0.02, 0.4), (0.17, 0.42), (70, 50, 50), 0.025)
    if random.random() < 0.75:
        colour = (240, 240, 240) if sum(look.coat) < 420 else (90, 84, 80)
        for side in (-1, 1):
            for rise in (-0.12, 0.0, 0.12):
                head.line([(side * 0.3, 0.3), (side * 1.05, 0.26 + rise * 1.8)], colour, 0.018)


def _eyes(head: Brush, look: Look, random: Random) -> None:
    round_pupils = random.random() < 0.3
    height, colour = random.uniform(0.17, 0.24), EYES[random.integers(len(EYES))]
    for side in (-1, 1):
        x = side * 0.36 * look.spread
        head.oval(x, -0.1, 0.22, height, colour)
        head.oval(x, -0.1, 0.12 if round_pupils else 0.05, height * (0.7 if round_pupils else 0.95), (16, 14, 16))
        head.oval(x + 0.05, -0.17, 0.035, 0.035, (250, 250, 250))
