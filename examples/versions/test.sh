#!/bin/sh
# The version is the asked one, and a pod finds services by the asked domain and by no other: ./test.sh VERSION DOMAIN
set -eu
kubectl version | tee /dev/stderr | grep -q "^Server Version: $1\\."

# Starts a pod that looks a name up, waits for how it ends, and prints what it found: resolve POD NAME PHASE
resolve() {
  kubectl run "$1" --restart=Never --image="$REGISTRY_IN_CLUSTER/resolve:1" -- "$2" >&2
  kubectl wait "pod/$1" --for=jsonpath='{.status.phase}'="$3" --timeout=60s >&2
  kubectl logs "$1"
}

address=$(kubectl get service kubernetes -o jsonpath='{.spec.clusterIP}')
[ "$(resolve full "kubernetes.default.svc.$2." Succeeded)" = "$address" ]
# Short names go by the search list of the pod, which the kubelet has from the same setting.
[ "$(resolve short kubernetes.default Succeeded)" = "$address" ]
resolve other kubernetes.default.svc.other.domain. Failed
