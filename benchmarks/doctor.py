"""What doctor finds of 200 exact copies, 200 near ones, 200 flipped labels and 50 junk pictures among 4,000 photos.

    python benchmarks/doctor.py --photos cats-dogs-180px.zip [--labels]
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # the faults are those of the tests

from catsdogs.doctor.stage import doctor  # noqa: E402
from catsdogs.ingest.stage import ingest  # noqa: E402
from catsdogs.preprocess.stage import preprocess  # noqa: E402
from catsdogs.settings.data import IngestSettings, PreprocessSettings  # noqa: E402
from catsdogs.settings.doctor import DoctorSettings  # noqa: E402
from tests.doctor.plant import found, plant, real_photos  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--per-class", type=int, default=2000)
    parser.add_argument("--labels", action="store_true")
    parser.add_argument("--label-epochs", type=int, default=DoctorSettings.model_fields["label_epochs"].default)
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        photos = real_photos(asked.photos, asked.per_class, asked.seed)
        planted = plant(photos, work / "raw", exact=200, near=200, flipped=200, junked=50, mirrored=200,
                        seed=asked.seed)
        ingest(IngestSettings(source_dir=work / "raw", output_dir=work / "ingested"))
        if asked.labels:
            preprocess(PreprocessSettings(input_dir=work / "ingested", output_dir=work / "processed", image_size=64))
        result = doctor(DoctorSettings(
            data_dir=work / "ingested", processed_dir=work / "processed", output_dir=work / "report",
            labels=asked.labels, label_epochs=asked.label_epochs,
        ))
        figures = found(planted, result.report) | {"seconds": result.seconds}
        if result.report.labels:
            figures |= {"label seconds": result.report.labels.seconds, "agreement": result.report.labels.accuracy}
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
