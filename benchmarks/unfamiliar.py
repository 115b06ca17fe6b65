"""How often an answer is unsure for animals that no class is made of, for other things, and for what is no photo,
beside the classes' own photos.

Real photos, without a network: Debian's packages gcompris-qt-data (photographs of animals), mate-backgrounds (of
nature) and tuxpaint-stamps-default (cut-outs of animals and things, which are laid over strips of real photos).
`apt-get download` them and unpack them with `dpkg-deb -x` into a folder:

    python benchmarks/unfamiliar.py --models fast/model.onnx pretrained/model.onnx --photos photos.zip --others FOLDER

Writes benchmarks/UNFAMILIAR.md.
"""

import argparse
import io
import re
import struct
import zipfile
from collections.abc import Iterable
from datetime import date
from hashlib import sha256
from pathlib import Path

import numpy as np
from drawn_odd import KINDS, encoded
from PIL import Image, ImageFilter

from catsdogs.predictor import Predictor, load_predictor

SUMMARY = Path(__file__).parent / "UNFAMILIAR.md"
SIZE = (500, 375)
DRAWN = 300  # of each kind
OURS = ("ab7c3e1b", "5e9d9544")  # digests of the photographs that show a cat and a dog: what the classes are made of
THINGS = ("food", "hobbies", "household", "plants", "sports", "vehicles")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, nargs="+", required=True, help="model.onnx, of each a table")
    parser.add_argument("--photos", type=Path, required=True, help="zip of the classes' own photos")
    parser.add_argument("--others", type=Path, required=True, help="folder with the packages, unpacked")
    arguments = parser.parse_args()
    with zipfile.ZipFile(arguments.photos) as archive:
        own = [archive.read(name) for name in sorted(archive.namelist()) if name.endswith(".jpg")]
    random = np.random.default_rng(0)

    def scenes(folders: Iterable[str]) -> list[bytes]:
        return [before_a_scene(path, own[random.integers(len(own))]) for path in cut_outs(arguments.others, folders)]

    sets = {
        f"cats and dogs ({arguments.photos.name}, in part trained on)": own,
        "photographs of other animals": photographs(arguments.others),
        "cut-outs of other animals, before real scenes": scenes(["animals"]),
        "photographs of nature": nature(arguments.others),
        "cut-outs of things, before real scenes": scenes(THINGS),
    }
    sets |= {f"{name}, drawn": encoded(draw, DRAWN) for name, draw in KINDS.items()}
    tables = [table(load_predictor(path), sets) for path in arguments.models]
    text = "\n\n".join(["# How often an answer is unsure for other animals and for what is no photo",
                        f"`python benchmarks/unfamiliar.py`, {date.today()}.", *tables]) + "\n"
    SUMMARY.write_text(text)
    print(text)


def table(predictor: Predictor, sets: dict[str, list[bytes]]) -> str:
    card = predictor.card
    by = card.familiarity.method if card.familiarity else "none"
    return "\n".join([
        f"Model {card.version}: `{card.variant}` at {card.image_size} px, test accuracy "
        f"{card.metrics.get('test_accuracy', float('nan')):.1%}; relied on from a confidence of "
        f"{card.unsure_below:.3f}; unfamiliar by: {by}.", "",
        "| photos | number | unfamiliar | low confidence | unsure in all | answered as if sure |",
        "| --- | --- | --- | --- | --- | --- |", *(row(predictor, name, photos) for name, photos in sets.items())])


def row(predictor: Predictor, name: str, photos: list[bytes]) -> str:
    doubts = [predictor.predict(photo).doubt for photo in photos]
    kinds = [doubt.kind if doubt else "sure" for doubt in doubts]
    unfamiliar, low = (kinds.count(kind) / len(kinds) for kind in ("unfamiliar", "low-confidence"))
    return (f"| {name} | {len(photos)} | {unfamiliar:.0%} | {low:.0%} | {unfamiliar + low:.0%} | "
            f"{1 - unfamiliar - low:.0%} |")


def photographs(folder: Path) -> list[bytes]:
    """WebP photographs in the resource files of GCompris' activities on animals."""
    found = [one for path in sorted(folder.rglob("explore_*_animals.rcc")) for one in _webps(path.read_bytes())]
    return [one for one in found if not sha256(one).hexdigest().startswith(OURS)]


def nature(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.rglob("backgrounds/mate/nature/*.jpg"))]


def cut_outs(folder: Path, kinds: Iterable[str]) -> list[Path]:
    return [path for kind in kinds for path in sorted(folder.rglob(f"stamps/{kind}/**/*.png"))
            if not {"cartoon", "toys"} & set(path.parts) and path.parts[-2:] != ("dogs", "dog.png")]


def _webps(data: bytes) -> Iterable[bytes]:
    for found in re.finditer(rb"RIFF....WEBP", data, re.DOTALL):
        (length,) = struct.unpack("<I", data[found.start() + 4:found.start() + 8])
        yield data[found.start():found.start() + 8 + length]


def before_a_scene(path: Path, photo: bytes) -> bytes:
    """The animal, standing before the blurred upper quarter of a real photo: light and colours of real scenes."""
    animal = Image.open(path).convert("RGBA")
    with Image.open(io.BytesIO(photo)) as image:
        width, height = image.size
        scene = image.convert("RGB").crop((0, 0, width, height // 4)).resize(SIZE).filter(ImageFilter.GaussianBlur(6))
    scale = min(0.85 * SIZE[0] / animal.width, 0.85 * SIZE[1] / animal.height)
    animal = animal.resize((max(1, int(animal.width * scale)), max(1, int(animal.height * scale))))
    whole = scene.convert("RGBA")
    whole.alpha_composite(animal, ((SIZE[0] - animal.width) // 2, SIZE[1] - animal.height))
    buffer = io.BytesIO()
    whole.convert("RGB").save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
