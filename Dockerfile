# The operator and nothing else: one static binary on an empty image.
#
# Every stage runs on the target's platform, so `docker buildx build --platform
# linux/amd64,linux/arm64` needs no cross toolchain (a foreign platform is
# emulated: slow, but correct).

# Keep in step with rust-toolchain.toml. That file is not copied: it asks for
# clippy and rustfmt too, which rustup would download here.
FROM docker.io/library/rust:1.95-bookworm AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY src src
# Never compiled here, but Cargo.toml names them and cargo wants to see them.
COPY tests tests
ARG TARGETARCH
# An explicit --target keeps crt-static away from build scripts and proc macros.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,id=target-${TARGETARCH},target=/build/target \
    target="$(uname -m)-unknown-linux-gnu" \
    && RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target "$target" \
    && install -D -m 0755 "target/$target/release/supabase-operator" /rootfs/supabase-operator
# Roots for S3 endpoints with public certificates, and a name for the user.
RUN install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /rootfs/etc/ssl/certs/ca-certificates.crt \
    && echo 'nonroot:x:65532:65532:nonroot:/:/sbin/nologin' > /rootfs/etc/passwd

FROM scratch
LABEL org.opencontainers.image.title="supabase-operator" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /rootfs/ /
USER 65532:65532
ENTRYPOINT ["/supabase-operator"]
