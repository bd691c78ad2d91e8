# cmhot in an image, for `cmhot job`: docker build -t IMAGE .
# 3.13.15 of September 2026: the index of all architectures, as public repositories
# pin it for amd64 and arm64; `docker buildx imagetools inspect python:3.13-slim`
# prints the newest
FROM docker.io/library/python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

WORKDIR /src
# the dependencies change less often than the package: a layer of their own
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY data/LICENSE data/LICENSE
COPY notebooks notebooks
COPY cmhot cmhot
RUN pip install --no-cache-dir --no-deps --no-build-isolation .

# Pod Security "restricted" asks for a number; the same as that of the probes
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT ["cmhot"]
