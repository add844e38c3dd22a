# The gateway as an image: everything is built in the first stage, and the second holds what runs and no tools.
#
#   docker build -t gateway .
#   docker run --rm -p 8080:8080 --read-only -v ./routes.toml:/etc/gateway/routes.toml:ro gateway
#
# In a container `listen` has to be ":8080" and not a loopback address; GATEWAY_LISTEN says it in the file's place.

ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
WORKDIR /src
# What every request runs through is compiled.
RUN ["sh", "-c", "apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev"]
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY gateway ./gateway
# One resolution for everything: the wheels of the gateway and of all that it needs.
ENV GATEWAY_COMPILE=1
RUN ["python", "-m", "pip", "wheel", "--no-cache-dir", "--wheel-dir", "/wheels", ".[compression]"]
RUN ["python", "-m", "venv", "--without-pip", "/opt/gateway"]
RUN ["python", "-m", "pip", "--python", "/opt/gateway/bin/python", "install", "--no-cache-dir", "--no-index", \
     "--find-links", "/wheels", "gateway[compression]"]

FROM python:${PYTHON}-slim
COPY --from=build /opt/gateway /opt/gateway
# The root file system may be read-only: nothing is written but what the configuration names, and no bytecode.
ENV PATH=/opt/gateway/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GATEWAY_CONFIG=/etc/gateway/routes.toml \
    GATEWAY_HEALTH_URL=http://127.0.0.1:8080/-/healthz
WORKDIR /etc/gateway
# Numbers, so that an orchestrator can see that it is not root. Nobody has this number in the image.
USER 65532:65532
EXPOSE 8080
# The gateway handles signals and reaps its workers by itself, so it can be process 1. It drains for `drain_timeout`.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["python", "-c", \
    "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open(os.environ['GATEWAY_HEALTH_URL'], timeout=2)"]
ENTRYPOINT ["gateway"]
CMD ["run"]
