#!/bin/sh
# Each cluster's pod asks the other cluster: by a port of its node, and by the address of its pod.
set -eu
kube() { kubectl --context "$@"; }
node() { kube "$1" get nodes -o jsonpath='{.items[0].status.addresses[?(@.type=="InternalIP")].address}'; }
pod() { kube "$1" get pods -l app=hello -o jsonpath='{.items[0].status.podIP}'; }

for pair in "east west" "west east"; do
  set -- $pair
  for address in "$(node "$2"):30080" "$(pod "$2"):8080"; do
    said=$(kube "$1" exec deployment/hello -- /hello get "http://$address/")
    echo "a pod of $1 asked $address, and was told: $said"
    [ "$said" = "hello from $2" ]
  done
done

# Services, too, have addresses of one cluster alone.
service() { kube "$1" get service kubernetes -o jsonpath='{.spec.clusterIP}'; }
[ "$(service east)" != "$(service west)" ]
