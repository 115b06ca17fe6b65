"""From a folder of labelled photos to a monitored prediction API."""

__version__ = "0.1.0"
