#!/bin/sh
# Builds the image into the registry of a cluster, and deploys it there: ./deploy.sh CLUSTER REGISTRY REGISTRY_IN_CLUSTER
set -eu
cluster=$1
docker build --quiet --tag "$2/hello:1" .
docker push --quiet "$2/hello:1"
docker rmi "$2/hello:1" >/dev/null
sed "s|\${CLUSTER}|$cluster|; s|\${IMAGE}|$3/hello:1|" deploy.yaml | kubectl --context "$cluster" apply -f -
kubectl --context "$cluster" rollout status deployment/hello --timeout=60s
