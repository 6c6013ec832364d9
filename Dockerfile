# Two images: `note` has the app and its notebooks, `chat` the MCP server beside the command lines of coding agents.
# Each RUN is a script of images/: the same scripts run in a clean root in .ci/images, where no Docker is.
# images/lock makes the lists of packages anew; images/pin writes the digest of the base image behind its name.
FROM debian:bookworm-slim AS base

COPY images/ /opt/stargazer/images/
RUN /opt/stargazer/images/system
RUN /opt/stargazer/images/python

COPY LICENSE README.md pyproject.toml /opt/stargazer/source/
COPY notebooks/ /opt/stargazer/source/notebooks/
COPY stargazer/ /opt/stargazer/source/stargazer/
RUN /opt/stargazer/images/project

ENV PATH=/opt/stargazer/venv/bin:/usr/local/bin:/usr/bin:/bin \
    DASK_STARGAZER__STORE=/data/store \
    DASK_STARGAZER__CACHE=/data/cache
VOLUME ["/data", "/work"]
WORKDIR /work


FROM base AS chat
RUN /opt/stargazer/images/agents
RUN /opt/stargazer/images/check chat
USER stargazer
CMD ["claude"]


FROM base AS note
RUN /opt/stargazer/images/check note
USER stargazer
EXPOSE 8080
CMD ["stargazer", "app", "/work/notebooks", "--host", "0.0.0.0", "--port", "8080", "--no-open"]
