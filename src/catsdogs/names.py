"""Names of files between stages, for those who need no schema: importing pydantic takes longer than a small push."""

MANIFEST = "manifest.csv"
SPLITS = "splits.csv"
PREPROCESSED = "preprocess.json"
METRICS = "metrics.json"
