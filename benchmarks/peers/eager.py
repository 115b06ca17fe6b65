"""FastAPI and eager torch, as people write it: one process, everything in the handler."""

from fastapi import FastAPI, File, UploadFile
from network import Classifier, tensor

app = FastAPI()
classifier = Classifier()


@app.post("/predict")
async def predict(file: UploadFile = File(...)) -> dict[str, object]:
    photo = await file.read()
    return classifier.answers(tensor(photo)[None])[0]
