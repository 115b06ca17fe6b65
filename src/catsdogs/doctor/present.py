"""The report as one HTML file."""

from pathlib import Path

from catsdogs.artifacts import ManifestRow
from catsdogs.doctor import sections
from catsdogs.doctor.html import Html, page, tag
from catsdogs.doctor.labels import Views
from catsdogs.doctor.measure import Measure
from catsdogs.doctor.odd import LIMITS
from catsdogs.doctor.plots import bars, histogram
from catsdogs.doctor.report import DataReport, Photo
from catsdogs.doctor.style import STYLE

SAMPLES = 12  # a class
PLACES = {"rules": "Rules", "photos": "Photos", "samples": "Samples", "copies": "Copies", "odd": "Odd ones out",
          "labels": "Labels", "refused": "Quarantine", "changes": "Changes", "fixes": "Corrections"}


def present(
    report: DataReport, kept: list[ManifestRow], measures: list[Measure], views: Views, folder: Path
) -> Html:
    broken = sum(not rule.passed for rule in report.rules)
    verdict = "all rules kept" if report.passed else f"{broken} rule{'s' if broken > 1 else ''} broken"
    figures = {
        "photos kept": sum(report.classes.values()), "put aside": len(report.refused),
        "groups of copies": len(report.copies), "odd ones out": len(report.odd),
    }
    if report.labels:
        figures["labels in doubt"] = report.labels.issues
    tiles = [tag("div", tag("b", f"{count:,}"), name, class_="tile") for name, count in figures.items()]
    return page(
        "catsdogs: the photos", STYLE,
        tag("header",
            tag("h1", "The photos"),
            tag("p", tag("span", verdict, class_="verdict " + ("good" if report.passed else "bad")),
                tag("span", f" version {report.manifest_digest[:12]}", class_="soft"))),
        tag("nav", [tag("a", title, href=f"#{place}") for place, title in PLACES.items()], aria_label="Sections"),
        tag("div", tiles, class_="tiles"),
        sections.rules(report),
        sections.section("photos", "Photos", sections.counts(report),
                         tag("div", _plots(report, kept, measures), class_="plots")),
        sections.samples(_samples(kept), folder),
        sections.copies(report.copies, folder),
        sections.odd(report.odd, folder),
        sections.labels(report.labels, views, folder),
        sections.refused(report.refused, folder),
        sections.changes(report.changes),
        _how_to_fix(),
    )


def _plots(report: DataReport, kept: list[ManifestRow], measures: list[Measure]) -> list[Html]:
    dark = next(limit.value for limit in LIMITS if limit.kind == "dark")
    blurred = next(limit.value for limit in LIMITS if limit.kind == "blurred")
    return [
        bars("Photos a class", report.classes),
        bars("Formats", report.formats),
        histogram("Width", [row.width for row in kept], " px"),
        histogram("Height", [row.height for row in kept], " px"),
        histogram("Width over height", [row.width / row.height for row in kept]),
        histogram("Brightness", [one.brightness for one in measures]),
        histogram("Brightest spot", [one.highlight for one in measures], low=dark),
        histogram("Sharpness", [one.sharpness for one in measures], low=blurred),
    ]


def _samples(kept: list[ManifestRow]) -> dict[str, list[Photo]]:
    """The lowest digests of each class: as good as drawn by lot, and the same every time."""
    chosen: dict[str, list[Photo]] = {}
    for row in sorted(kept, key=lambda row: (row.label, row.digest)):
        of_class = chosen.setdefault(row.label, [])
        if len(of_class) < SAMPLES:
            of_class.append(Photo.of(row, path=row.path))
    return chosen


def _how_to_fix() -> Html:
    return sections.section(
        "fixes", "Corrections",
        tag("p", "Look at each photo, then copy its line into fixes.yaml, with your name and your reason. The action "
                 "is drop, relabel (with a label) or keep, after which it is listed here no more. Then run catsdogs "
                 "ingest, catsdogs preprocess and this report again. No other photo changes its split."),
    )
