"""What every peer answers, and its knobs. No torch: the tuned peer does without."""

import os


def answer(classes: list[str], row: list[float]) -> dict[str, object]:
    best = max(range(len(row)), key=row.__getitem__)
    return {"label": classes[best], "confidence": row[best], "probabilities": dict(zip(classes, row, strict=True)),
            "model_loaded": True}


def setting(name: str, default: int) -> int:
    """A knob of a peer: its default is the best that was found, others are tried with BENCH_<NAME>."""
    return int(os.environ.get(f"BENCH_{name}", default))
