# The release build, then an image with the two programs and the libraries they load; nothing else is added.
FROM debian:12-slim AS build
WORKDIR /src
COPY deploy.sh .
RUN ./deploy.sh packages build
COPY . .
RUN ./deploy.sh build
RUN DESTDIR=/out cmake --install build/release --prefix /usr --strip

FROM debian:12-slim
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      ca-certificates libc-ares2 libcjson1 libconfuse2 libcurl4 libevent-core-2.1-7 libevent-pthreads-2.1-7 \
      libncursesw6 libnghttp2-14 libsqlite3-0 libssl3 libsystemd0 libtinfo6 ncurses-base zlib1g \
 && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 10001 credswap \
 && useradd --uid 10001 --gid 10001 --home-dir /var/lib/credswap --no-create-home --shell /usr/sbin/nologin credswap \
 && install -d -o 10001 -g 10001 -m 0700 /var/lib/credswap
COPY --from=build /out/usr /usr

# Settings as the environment gives them (credswap.conf(5)); they win over a file mounted at /etc/credswap/credswap.conf.
ENV CREDSWAP_LISTEN_PROXY=0.0.0.0:3128 \
    CREDSWAP_LISTEN_SOCKET=/run/credswap.sock \
    CREDSWAP_STORE_URL=sqlite:/var/lib/credswap/credswap.db \
    CREDSWAP_STORE_MASTER_KEY_FILE=/run/secrets/master_key \
    CREDSWAP_CA_CERT=/var/lib/credswap/ca.pem \
    CREDSWAP_CA_KEY=/var/lib/credswap/ca.key
USER 10001:10001
WORKDIR /var/lib/credswap
VOLUME /var/lib/credswap
EXPOSE 3128
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["credswap", "wait", "--ready", "--timeout", "1"]
CMD ["credswapd"]
