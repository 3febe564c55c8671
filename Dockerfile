# The image of roomcast: one static binary and nothing else. The stages do what
# scripts/build does, which CI runs; there is nothing here that it doesn't test.
#
#   docker build --build-arg VERSION=1.2.3 -t roomcast .
#   docker run -p 8080:8080 roomcast serve --demo --listen :8080

FROM node:22-bookworm-slim AS page
WORKDIR /src
COPY scripts/build scripts/build
COPY web/ui web/ui
RUN scripts/build page

FROM golang:1.26.8-bookworm AS binary
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
COPY --from=page /src/web/ui/dist web/ui/dist
ARG VERSION=devel
RUN VERSION=$VERSION scripts/build binary

FROM scratch
COPY --from=binary /src/bin/roomcast /roomcast
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/roomcast"]
CMD ["serve"]
