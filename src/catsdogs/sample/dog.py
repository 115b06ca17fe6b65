"""A dog: floppy ears, a long muzzle, a big dark nose, sometimes a tongue. Some breeds have pointed ears."""

from catsdogs.sample.look import Brush, Colour, Look, Random, body, coat_pattern, shade

NOSE = (34, 28, 30)
EYES: tuple[Colour, ...] = ((110, 70, 40), (70, 50, 36), (54, 40, 34))
BRIGHT_EYE = (130, 180, 220)  # of huskies and the like
TONGUE = (228, 112, 120)


def draw_dog(brush: Brush, look: Look, random: Random) -> None:
    head = brush
    if look.pose != "face":
        _tail(brush, look, random)
        head = body(brush, look, random, legs=1.1)
    pointed = random.random() < 0.25
    if pointed:
        _pointed_ears(head, look, random)
    head.oval(0, -0.05, 0.74, 0.78, look.coat)
    coat_pattern(head, look, random, 0.7, 0.7)
    if not pointed:
        _floppy_ears(head, look, random)
    _muzzle(head, look, random)
    _eyes(head, look, random)


def _tail(brush: Brush, look: Look, random: Random) -> None:
    start = (0.5, 1.4) if look.pose == "sitting" else (1.3, 0.25)
    lift = random.uniform(-0.8, -0.1)
    brush.curve(start, (start[0] + 0.35, start[1] + lift * 0.3), (start[0] + 0.4, start[1] + lift), look.coat, 0.2)


def _floppy_ears(head: Brush, look: Look, random: Random) -> None:
    length, colour = random.uniform(0.42, 0.72), shade(look.coat, random.uniform(0.6, 0.9))
    for side in (-1, 1):
        x = side * 0.68 * look.spread
        head.shape([(x - side * 0.3, -0.62), (x + side * 0.12, -0.58), (x + side * 0.1, -0.1)], colour)
        head.oval(x + side * 0.06, -0.5 + length, 0.2, length, colour)


def _pointed_ears(head: Brush, look: Look, random: Random) -> None:
    height = random.uniform(1.1, 1.4)
    for side in (-1, 1):
        x = side * 0.48 * look.spread
        head.shape([(x - side * 0.28, -0.5), (x + side * 0.26, -0.4), (x + side * 0.08, -height)], look.coat)
        head.shape([(x - side * 0.15, -0.55), (x + side * 0.15, -0.5), (x + side * 0.06, -height * 0.88)],
                   shade(look.coat, 0.65))


def _muzzle(head: Brush, look: Look, random: Random) -> None:
    length = random.uniform(0.42, 0.64)
    colour = look.belly if random.random() < 0.7 else shade(look.coat, 0.8)
    if random.random() < 0.5:
        head.oval(0.02, 0.42 + length * 0.95, 0.13, 0.26, TONGUE)
    head.oval(0, 0.2 + length * 0.5, 0.36, length * 0.85, colour)
    head.oval(0, 0.12 + length * 0.28, 0.17, 0.13, NOSE)
    head.oval(-0.05, 0.08 + length * 0.28, 0.04, 0.025, (120, 116, 120))
    low = 0.24 + length * 0.75
    head.line([(0, 0.2 + length * 0.3), (0, low)], (60, 44, 44), 0.025)
    head.curve((0, low), (-0.08, low + 0.12), (-0.22, low), (60, 44, 44), 0.025)
    head.curve((0, low), (0.08, low + 0.12), (0.22, low), (60, 44, 44), 0.025)


def _eyes(head: Brush, look: Look, random: Random) -> None:
    size = random.uniform(0.11, 0.16)
    bright, colour = random.random() < 0.15, EYES[random.integers(len(EYES))]
    for side in (-1, 1):
        x = side * 0.3 * look.spread
        head.oval(x, -0.18, size * 1.15, size * 1.1, BRIGHT_EYE if bright else (250, 246, 240))
        head.oval(x, -0.17, size * 0.85, size * 0.85, (16, 14, 16) if bright else colour)
        head.oval(x + 0.04, -0.22, 0.035, 0.035, (250, 250, 250))
