"""Whether a model's files have changed."""

from pathlib import Path

Stamp = tuple[int, int, int] | None  # inode, time of the last change, bytes; None without a file
Stamps = tuple[Stamp, Stamp]  # of model.onnx and of what the settings name


def stamps(model: Path) -> Stamps:
    return _stamp(model.with_suffix(".onnx")), _stamp(model)


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
