# A static binary, its certificates, and nothing else: no shell, no package manager, no root.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags=-s -o /pgtier ./cmd/pgtier

FROM scratch
# The roots that sslrootcert = "system" means.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /pgtier /pgtier
USER 65532:65532
EXPOSE 6432
# SIGTERM, which is also the default, lets transactions finish.
STOPSIGNAL SIGTERM
# No HEALTHCHECK: it would have to run a program in here, with credentials, every few seconds. Let the orchestrator open
# TCP port 6432 instead: the port is closed until pgtier serves.
ENTRYPOINT ["/pgtier"]
CMD ["serve", "--config", "/etc/pgtier/pgtier.toml"]
