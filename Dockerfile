# The trainer: ingest, doctor, preprocess, train, gate, push, pull; and MLflow's server (the extra `tracking`).
#   docker build -t cats-dogs-trainer:latest .
#   docker run --rm -v "$PWD/data:/app/data" cats-dogs-trainer:latest ingest --source-dir data/raw
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS packages
WORKDIR /build
ENV PIP_CONSTRAINT=/build/constraints.txt PIP_ROOT_USER_ACTION=ignore
ARG EXTRAS="train gcs s3 tracking"
# torch for the processor, 2 GB smaller; `--build-arg TORCH_INDEX=` takes the one for GPUs. Where the base image tells
# pip of a folder of wheels (PIP_FIND_LINKS), they come from there and no second index is asked.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# Packages in a layer of their own: it is built, and sent to a registry, again only when a version changes.
COPY pyproject.toml constraints.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    if [ -z "${PIP_FIND_LINKS:-}" ]; then export PIP_EXTRA_INDEX_URL=$TORCH_INDEX; fi \
 && python -m venv --without-pip /opt/catsdogs \
 && python -c "import sys, tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
extras = [line for name in sys.argv[1:] for line in project['optional-dependencies'][name]]; \
print(*project['dependencies'], *extras, sep='\n')" $EXTRAS > requirements.txt \
 && pip --python /opt/catsdogs install -r requirements.txt

FROM ${BASE_IMAGE} AS wheel
WORKDIR /build
ENV PIP_CONSTRAINT=/build/constraints.txt
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN --mount=type=cache,target=/root/.cache/pip pip wheel --no-deps --wheel-dir /wheel .

FROM ${BASE_IMAGE}
# Volumes take over the owner of the folder they are mounted on: made here for the user who writes into them.
RUN groupadd --gid 10001 catsdogs && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp catsdogs \
 && install -d -o 10001 -g 10001 /app /app/data /app/models /app/artifacts
COPY --from=packages /opt/catsdogs /opt/catsdogs
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    pip --python /opt/catsdogs install --no-cache-dir --no-deps --no-index /wheel/*.whl
WORKDIR /app
COPY params.yaml fixes.yaml ./
# Whatever is written goes to a volume or to /tmp: the root file system may be read-only.
ENV PATH=/opt/catsdogs/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MPLCONFIGDIR=/tmp/matplotlib \
    MLFLOW_TRACKING_URI=sqlite:////app/artifacts/mlflow.db \
    CATSDOGS_PUSH_CACHE_DIR=/app/data/.catsdogs CATSDOGS_PULL_CACHE_DIR=/app/data/.catsdogs
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
VOLUME ["/app/data", "/app/models", "/app/artifacts"]

# What changes with every commit comes last: what is above stays in the cache. Git is not in the image: the commit is
# told (scripts/build_images.sh does), for the lineage of what is trained here and for the name of what is pushed.
ARG VERSION=0.1.0
ARG SOURCE=""
ARG COMMIT=""
ENV CATSDOGS_COMMIT=${COMMIT}
LABEL org.opencontainers.image.title="catsdogs trainer" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="Apache-2.0"

# `docker run IMAGE train --epochs 3` is `catsdogs train --epochs 3`; without a command it lists them. No shell in
# between, so that SIGTERM reaches it: train writes a checkpoint and ends with 143, every other stage ends with 143.
ENTRYPOINT ["catsdogs"]
CMD ["--help"]
