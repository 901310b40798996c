# musweep: orchestrator, embedded trainer and command line in one image. `docker compose up` uses it for serve and workers.

FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# On Node 22 every native binding comes ready-made in its package: no install script has to run.
RUN npm ci --ignore-scripts --no-audit --no-fund
# A part of the trainer is C.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev
COPY tsconfig.json tsconfig.build.json ./
COPY scripts/build-native.mjs scripts/join-packages.mjs scripts/
COPY orchestrator orchestrator
COPY workers workers
COPY schema schema
RUN npm run build \
    && chmod +x dist/orchestrator/cli.js \
    && npm prune --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:22-bookworm-slim
ENV NODE_ENV=production MUSWEEP_DIR=/state
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
# SQL migrations, the published JSON Schema, the guide to the views and the dashboard's files are read from beside
# package.json.
COPY schema schema
COPY docs/sql.md docs/
COPY orchestrator/dashboard/assets orchestrator/dashboard/assets
COPY sweeps sweeps
# For images made from this one that have Python and PyTorch.
COPY workers/trainers/torch workers/trainers/torch
RUN ln -s /app/dist/orchestrator/cli.js /usr/local/bin/musweep \
    && mkdir /state && chown node:node /state
USER node
VOLUME /state
EXPOSE 4242
ENTRYPOINT ["musweep"]
CMD ["--help"]
