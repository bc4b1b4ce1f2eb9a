#!/bin/sh
# Builds bin/controller and bin/e2e.test, static, for this machine; with --image TAG also the image, for Docker's.
# By the Go toolchain, else by Docker. Go's cache finds out what has to be built again.
#
#   ./build.sh [--image controller:demo]
#   GO=go  DOCKER=docker  GO_IMAGE=golang:1.26-alpine  GOPROXY=…
set -eu
cd "$(dirname "$0")"
GO=${GO:-go}
DOCKER=${DOCKER:-docker}

image=
case "${1-}" in
'') ;;
--image) image=${2:?--image needs a tag} ;;
*)
  echo "usage: $0 [--image TAG]" >&2
  exit 2
  ;;
esac

say() { echo "build: $*" >&2; }

fail() {
  say "$1"
  say "hint: $2"
  exit 1
}

# The names that Go has for this machine.
case $(uname -s) in
Darwin) os=darwin ;;
*) os=linux ;;
esac
go_arch() {
  case $1 in
  aarch64 | arm64) echo arm64 ;;
  *) echo amd64 ;;
  esac
}
arch=$(go_arch "$(uname -m)")

# The image runs where Docker runs: on Linux, and maybe on another kind of machine than this one.
image_arch=$arch
if [ -n "$image" ]; then
  docker_arch=$($DOCKER version --format '{{.Server.Arch}}') ||
    fail "Docker does not answer, and --image needs it" "seatrial doctor"
  image_arch=$(go_arch "$docker_arch")
fi
image_binary=bin/controller
if [ "$os/$arch" != "linux/$image_arch" ]; then
  image_binary=bin/linux-$image_arch/controller
fi

started=$(date +%s)
if command -v "$GO" >/dev/null 2>&1; then
  [ -x bin/e2e.test ] || say "with $("$GO" version); the first build compiles client-go, which takes about a minute on two cores, then seconds"
  export CGO_ENABLED=0
  # -v names each package that is compiled: progress the first time, silence when nothing changed.
  compile() { "$GO" build -v -trimpath -buildvcs=false -ldflags='-s -w' -o "$1" .; }
  GOOS=$os GOARCH=$arch compile bin/controller
  GOOS=$os GOARCH=$arch "$GO" test -c -v -trimpath -buildvcs=false -ldflags='-s -w' -o bin/e2e.test ./e2e
  if [ -n "$image" ] && [ "$image_binary" != bin/controller ]; then
    GOOS=linux GOARCH=$image_arch compile "$image_binary"
  fi
elif $DOCKER version >/dev/null 2>&1; then
  [ -x bin/e2e.test ] || say "there is no Go here: with Docker; the first build fetches the golang image and client-go, which takes some minutes, then seconds"
  build_tag=greeting-controller-build:$$
  container=
  cleanup() {
    [ -z "$container" ] || $DOCKER rm -f "$container" >/dev/null
    $DOCKER rmi "$build_tag" >/dev/null 2>&1 || true
  }
  trap cleanup EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  set -- -f Dockerfile.build -t "$build_tag" --build-arg "GOOS=$os" --build-arg "GOARCH=$arch" --build-arg "IMAGE_ARCH=$image_arch"
  [ -z "${GO_IMAGE-}" ] || set -- "$@" --build-arg "GO_IMAGE=$GO_IMAGE"
  [ -z "${GOPROXY-}" ] || set -- "$@" --build-arg "GOPROXY=$GOPROXY"
  $DOCKER build "$@" .
  container=$($DOCKER create "$build_tag")
  mkdir -p bin
  $DOCKER cp "$container:/out/." bin
else
  fail "there is neither Go ($GO) nor Docker ($DOCKER) here" "install Go 1.26 (https://go.dev/dl) or Docker"
fi
say "bin/controller and bin/e2e.test are there after $(($(date +%s) - started)) s"

if [ -n "$image" ]; then
  $DOCKER build --build-arg "BINARY=$image_binary" -t "$image" .
  say "image $image is there after $(($(date +%s) - started)) s"
fi
