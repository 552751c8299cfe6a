# One image for every process of the cluster; the command chooses which.
FROM python:3.12-slim

# A fixed id, so that a volume keeps its owner when the image is built again.
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin millrace \
    && install --directory --owner=millrace --group=millrace /var/lib/millrace/index

WORKDIR /app
COPY . .
# Editable, because alembic reads its configuration and migrations from /app. Every dependency has a wheel: no compiler.
RUN pip install --no-cache-dir --only-binary=:all: --constraint constraints.txt --editable .

USER millrace
ENV PYTHONUNBUFFERED=1 \
    MILLRACE_HOST=0.0.0.0 \
    MILLRACE_INDEX_DIR=/var/lib/millrace/index

# ingest, invoicer, aggregator
EXPOSE 3001 3002 6066

CMD ["millrace", "--help"]
