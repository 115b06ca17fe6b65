"""The sections of the report, in the order of the page."""

from collections.abc import Sequence
from pathlib import Path

from catsdogs.doctor import pictures
from catsdogs.doctor.html import Html, Part, join, table, tag
from catsdogs.doctor.labels import Views
from catsdogs.doctor.report import Changes, Copies, DataReport, LabelCheck, Odd, Photo, Refused

SHOWN = 60  # of one kind with pictures; report.json holds all
PICTURED = 500  # refused files with pictures: about 1.5 MB


def section(anchor: str, title: str, *parts: Part) -> Html:
    return tag("section", tag("h2", title), *parts, id=anchor)


def rules(report: DataReport) -> Html:
    rows: list[list[Part]] = [
        [tag("span", "kept" if rule.passed else "broken", class_="verdict " + ("good" if rule.passed else "bad")),
         rule.words, f"{rule.value:.4g}", f"{rule.limit:g}", tag("code", rule.name)]
        for rule in report.rules
    ]
    shown = table(["", "what", "here", "limit", "in params.yaml"], rows, numbers_from=2)
    return section("rules", "Rules", tag("div", shown, class_="rules"))


def counts(report: DataReport) -> Html:
    splits = report.splits
    parts: list[Part] = []
    if splits:
        rows: list[list[Part]] = [
            [label, *(f"{split.get(label, 0):,}" for split in splits.values())] for label in report.classes
        ]
        parts.append(table(["class", *splits], rows))
    if not report.splits_current:
        parts.append(tag("p", "The splits were made from another version of the photos: run catsdogs preprocess.",
                         class_="bad"))
    return join(*parts)


def copies(groups: list[Copies], folder: Path) -> Html:
    bad = [group for group in groups if group.problems]
    near = sum(group.kind == "near" for group in groups)
    extra = sum(len(group.photos) - 1 for group in groups if group.kind == "exact")
    said = (f"{extra:,} files repeat the bytes of another, {near:,} groups of photos look the same. "
            "Ingest keeps one of exact copies, and puts photos that look the same into one split.")
    blocks = [_group(group, folder) for group in groups[:SHOWN] if group.problems]
    harmless = [_group(group, folder) for group in groups if not group.problems and group.kind == "near"][:SHOWN]
    parts: list[Part] = [tag("p", said)]
    if bad:
        parts += [tag("h3", f"{len(bad):,} with a problem"), blocks, _more(bad, SHOWN)]
    if harmless:
        parts.append(tag("details", tag("summary", "Groups that look the same, harmless"), harmless))
    return section("copies", "Copies", *parts)


def _group(group: Copies, folder: Path) -> Html:
    words = {"refused": "the same bytes, which ingest refused to both", "across splits":
             "copies in two splits: what is learned from one is tested with the other", "across classes":
             "copies under two classes"}
    problems = "; ".join(words[problem] for problem in group.problems) or f"{group.kind} copies"
    shown = [_figure(photo, folder, photo.label, photo.split or "") for photo in group.photos[:12]]
    return tag("div", tag("p", tag("b", problems)), tag("div", shown, class_="grid"), _lines(group.fixes),
               class_="group")


def odd(found: list[Odd], folder: Path) -> Html:
    if not found:
        return section("odd", "Odd ones out", tag("p", "None."))
    kinds = sorted({one.kind for one in found})
    blocks = []
    for kind in kinds:
        mine = [one for one in found if one.kind == kind]
        shown = [_figure(one.photo, folder, one.photo.label, one.words) for one in mine[:SHOWN]]
        blocks.append(join(tag("h3", f"{kind}: {len(mine):,}"), tag("div", shown, class_="grid"), _more(mine, SHOWN),
                           _folded("Lines for fixes.yaml", [one.fix for one in mine])))
    return section("odd", "Odd ones out", tag("p", "Blank, text or drawn, too dark, too bright, blurred, too small."),
                   blocks)


def refused(files: list[Refused], folder: Path) -> Html:
    if not files:
        return section("refused", "Quarantine", tag("p", "Nothing was put aside."))
    shown = [
        _figure(one.photo, folder, one.verdict, one.reason, pictured=place < PICTURED)
        for place, one in enumerate(files)
    ]
    return section("refused", "Quarantine", tag("p", f"{len(files):,} files that ingest put aside, with its reasons."),
                   tag("div", shown, class_="grid"))


def labels(check: LabelCheck | None, views: Views, folder: Path) -> Html:
    if check is None:
        return section("labels", "Labels", tag("p", "Not checked: run catsdogs doctor --labels."))
    judges = f"regressions on the features of {check.backbone}" if check.backbone else "networks"
    said = (f"{check.folds} {judges}, each asked about photos that it had not seen, agree with {check.accuracy:.1%} of "
            f"{check.photos:,} labels. Confident learning counts {check.issues:,} labels as wrong. The most suspicious "
            "come first; beside each photo is what the network saw.")
    if not check.learned:
        said += " They learned too little to be believed: name another --label-backbone, or add photos."
    shown = [
        tag("figure",
            tag("div", pictures.thumbnail(folder / one.photo.path), pictures.pixels(views[one.photo.digest]),
                class_="pair"),
            tag("figcaption", tag("b", f"{place}. {one.photo.label}"), f" in the set; {one.suggested} ",
                tag("b", f"{one.probability:.0%}"), " for the network", tag("br"), one.photo.source))
        for place, one in enumerate(check.ranked[:2 * SHOWN], 1)
    ]
    return section("labels", "Labels", tag("p", said), tag("div", shown, class_="grid pairs"),
                   _more(check.ranked, 2 * SHOWN), _folded("Lines for fixes.yaml", [one.fix for one in check.ranked]))


def changes(found: Changes | None) -> Html:
    if found is None:
        return section("changes", "Changes", tag("p", "This is the first version that was reported here."))
    rows: list[list[Part]] = [
        ["added", f"{len(found.added):,}"], ["removed", f"{len(found.removed):,}"],
        ["relabelled", f"{len(found.relabelled):,}"],
    ]
    named = [f"{one.digest}  {one.before} -> {one.after}" for one in found.relabelled]
    return section("changes", "Changes", tag("p", f"Since version {found.since[:12]}:"), table(["photos", ""], rows),
                   _folded("Added", found.added), _folded("Removed", found.removed), _folded("Relabelled", named))


def samples(chosen: dict[str, list[Photo]], folder: Path) -> Html:
    return section("samples", "Samples", [
        join(tag("h3", label),
             tag("div", [_figure(photo, folder, "", photo.source) for photo in photos], class_="grid"))
        for label, photos in chosen.items()
    ])


def _figure(photo: Photo, folder: Path, title: str, words: str, pictured: bool = True) -> Html:
    picture = pictures.thumbnail(folder / photo.path) if photo.path and pictured else pictures.none("no picture")
    caption: list[Part] = [tag("b", title), " ", words]
    if words != photo.source:
        caption += [tag("br"), photo.source]
    return tag("figure", picture, tag("figcaption", *caption), title=photo.digest)


def _lines(fixes: Sequence[str]) -> Html:
    return tag("pre", "\n".join(fixes), tabindex=0) if fixes else join()


def _folded(title: str, lines: Sequence[str]) -> Html:
    return tag("details", tag("summary", f"{title} ({len(lines):,})"), _lines(lines)) if lines else join()


def _more(found: Sequence[object], shown: int) -> Html:
    return tag("p", f"{len(found) - shown:,} more are in report.json.", class_="soft") if len(found) > shown else join()
