"""Door for uvicorn: `uvicorn src.main:app` serves what the environment says."""

from catsdogs.serve.start import start_from_environment

app = start_from_environment()
