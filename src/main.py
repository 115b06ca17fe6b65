"""Door for uvicorn: `uvicorn src.main:app` serves what the environment says."""

from catsdogs.serve.app import create_app
from catsdogs.settings import ServeSettings

app = create_app(ServeSettings())
