# Two images from the project's own scripts: `vestibule`, the program and the libraries it runs on, and
# `demo`, everything around it that docker-compose.yml needs. Neither runs as root.

FROM debian:bookworm-slim AS build
WORKDIR /vestibule
COPY tools/packages.sh tools/packages.txt tools/
RUN tools/packages.sh build && rm -rf /var/lib/apt/lists/*
COPY . .
RUN ./dev build

FROM debian:bookworm-slim AS demo
WORKDIR /vestibule
COPY tools/packages.sh tools/packages.txt tools/
RUN tools/packages.sh demo && rm -rf /var/lib/apt/lists/*
COPY tests/e2e/package.json tests/e2e/package-lock.json tests/e2e/
RUN cd tests/e2e && npm ci --no-audit --no-fund && npm cache clean --force
COPY certs certs
COPY tests/prosody tests/prosody
COPY tests/e2e tests/e2e
COPY packaging packaging
# A named volume takes its owner from the folder it is first mounted on.
RUN install -d -o 10001 -g 10001 /certificates
USER 10001:10001

# Last, so that it is what `docker build .` makes.
FROM debian:bookworm-slim AS vestibule
COPY tools/packages.sh tools/packages.txt /tmp/tools/
RUN /tmp/tools/packages.sh run && rm -rf /var/lib/apt/lists/* /tmp/tools
COPY --from=build /vestibule/build/vestibule /usr/local/bin/vestibule
RUN install -d -o 10001 -g 10001 /var/lib/vestibule
USER 10001:10001
EXPOSE 5281
# A file goes with `-c FILE`; without one the environment (VESTIBULE_...) is the configuration.
ENTRYPOINT ["vestibule"]
