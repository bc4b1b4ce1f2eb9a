#!/bin/sh
# Two nodes with a pod on each: both pods reach each other by their own addresses, and both answer for the service.
set -eu
pods=$(kubectl get pods -l app=hello -o jsonpath='{range .items[*]}{.metadata.name} {.status.podIP} {.spec.nodeName}{"\n"}{end}')
[ "$(echo "$pods" | cut -d' ' -f3 | sort -u | wc -l)" -eq 2 ]

ask() { kubectl exec "$1" -- /hello get "http://$2/"; }

echo "$pods" | while read -r from _ _; do
  echo "$pods" | while read -r _ address node; do
    said=$(ask "$from" "$address:8080" </dev/null)
    echo "$from was told by $address: $said"
    [ "$said" = "ahoy from $node" ]
  done
done

# The service leads to either: asked often enough, the one on the other node answers, too.
first=$(echo "$pods" | head -n 1 | cut -d' ' -f1)
others=$(echo "$pods" | tail -n 1 | cut -d' ' -f3)
for _ in $(seq 30); do
  said=$(ask "$first" hello.default.svc)
  [ "$said" = "ahoy from $others" ] && exit 0
done
echo "the service never led to node $others; it said last: $said" >&2
exit 1
