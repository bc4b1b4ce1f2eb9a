#!/bin/sh
# Runs the tests on the cluster of KUBECONFIG: the controller as a pod where the cluster has nodes, else as a process.
#
#   seatrial with kind --image controller:demo -- ./run-tests.sh
#   seatrial with bare -- ./run-tests.sh
#
# Seatrial sets KUBECONFIG; REGISTRY and REGISTRY_IN_CLUSTER, where the cluster pulls images; ARTIFACTS, a folder.
# KUBECTL, default kubectl. ./build.sh comes first. Exit code: that of the tests.
set -eu
cd "$(dirname "$0")"
KUBECTL=${KUBECTL:-kubectl}
ROLLOUT_TIMEOUT=${ROLLOUT_TIMEOUT:-60s}
namespace=greetings-system
user=system:serviceaccount:$namespace:greeting-controller

say() { echo "run-tests: $*" >&2; }

if [ -z "${KUBECONFIG-}" ]; then
  say "KUBECONFIG is not set, and no other cluster is guessed"
  say "hint: seatrial with bare -- ./run-tests.sh"
  exit 2
fi
for program in bin/controller bin/e2e.test; do
  [ -x "$program" ] && continue
  say "$program is not there"
  say "hint: ./build.sh"
  exit 2
done

ARTIFACTS=${ARTIFACTS:-$PWD/artifacts}
export ARTIFACTS
mkdir -p "$ARTIFACTS"
log=$ARTIFACTS/controller.log

# Only what was started here is stopped, and a signal does not wait for the tests.
controller=
tests=
cleanup() {
  for process in $tests $controller; do
    kill "$process" 2>/dev/null || continue
    wait "$process" 2>/dev/null || true
  done
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

"$KUBECTL" apply -f deploy/crd.yaml -f deploy/rbac.yaml
"$KUBECTL" wait --for=condition=Established --timeout=30s crd/greetings.examples.seatrial.dev

if [ -n "${REGISTRY_IN_CLUSTER-}" ]; then
  image=$REGISTRY_IN_CLUSTER/controller:demo
  say "the controller runs as a pod from $image"
  sed "s|\${IMAGE}|$image|" deploy/deployment.yaml | "$KUBECTL" apply -f -
  if ! "$KUBECTL" -n "$namespace" rollout status deployment/greeting-controller "--timeout=$ROLLOUT_TIMEOUT"; then
    say "the controller is not up after $ROLLOUT_TIMEOUT; this is what the cluster says:"
    "$KUBECTL" -n "$namespace" describe deployment,pods >&2 || true
    "$KUBECTL" -n "$namespace" logs deployment/greeting-controller --tail=50 --pod-running-timeout=1s >&2 || true
    exit 1
  fi
  CONTROLLER_LOG="kubectl -n $namespace logs deployment/greeting-controller; after the run $log"
else
  say "this cluster has no nodes that pull images: the controller runs here, with the rights of its service account; its log: $log"
  bin/controller "--kubeconfig=$KUBECONFIG" "--as=$user" >"$log" 2>&1 &
  controller=$!
  CONTROLLER_LOG=$log
fi
export CONTROLLER_LOG

code=0
bin/e2e.test -test.v -test.parallel=16 -test.timeout=5m &
tests=$!
wait "$tests" || code=$?
tests=

if [ -z "$controller" ]; then
  "$KUBECTL" -n "$namespace" logs deployment/greeting-controller --pod-running-timeout=1s >"$log" 2>&1 || true
elif ! kill -0 "$controller" 2>/dev/null; then
  say "the controller ended before the tests did"
fi
if [ "$code" -ne 0 ]; then
  say "the tests failed; the end of the controller's log ($log):"
  tail -n 20 "$log" >&2 || true
fi
exit "$code"
