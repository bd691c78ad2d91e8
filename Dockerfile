# cmhot in an image, for `cmhot job`: docker build -t IMAGE .
FROM docker.io/library/python:3.13-slim

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
