__import__("sys").path.insert(0, __file__.rpartition("/")[0])  # `uvicorn src.main:app` serves this checkout's package
