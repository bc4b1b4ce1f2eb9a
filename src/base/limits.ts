/**
 * Every bound of the project, with its reason. A loop, queue, buffer, retry or wait that is not bounded by one of these
 * is a defect.
 */
export const limits = {
  /** A cluster that is not Ready by then will not be: the slowest of eight at once on two cores took 90 s here. */
  clusterReadyMs: 300_000,
  /** One question to an API that is not there costs no more than this before we ask again. */
  apiRequestMs: 5_000,
  /** Pause between two questions while waiting for readiness: short against boot (5 s), cheap against the API. */
  readyPollMs: 150,
  /** A second in which nothing else answers is still an answer of Docker on a loaded host; 30 s is a daemon that hangs. */
  dockerRequestMs: 30_000,
  /** Stopping a daemon that we started: kube-apiserver takes 4 s when etcd went first. */
  stopGraceMs: 10_000,
  /** The tail of a failed command that is worth showing. */
  errorTailLines: 20,
  /** Output of a command that is kept in memory; the rest goes to its log. */
  commandOutputBytes: 8 * 1024 * 1024,
  /** Waiting for another process that works on the same cluster: as long as the slowest boot may take. */
  lockMs: 600_000,
  lockPollMs: 50,
  /** Ports and subnets are taken by others between our look and our use; each attempt looks again. */
  portAttempts: 8,
  subnetAttempts: 64,
  /** kind's own limit on names, and what a container's host name (63) leaves beside `-control-plane`. */
  clusterNameLength: 48,
  /** How long a throwaway cluster may live when its owner cannot be judged from here. */
  throwawayMs: 6 * 3_600_000,
  /** Log collection must not hold up the teardown of a broken cluster for longer. */
  collectLogsMs: 60_000,
  /** Pods whose logs are kept when a cluster fails, and bytes of each: enough for a look, bounded on a busy cluster. */
  collectPods: 200,
  collectLogBytes: 2 * 1024 * 1024,
  /** A download of a program: kube-apiserver has 105 MB. */
  downloadMs: 600_000,
  /** A build from Go modules: 9 min cold for all of Kubernetes on two cores. */
  buildMs: 2_400_000,
  /** An ssh connection that is not up by then is reported; the next attempt follows after the pause. */
  sshConnectMs: 15_000,
  sshRetryMs: 500,
  /** How long a connection waits for a tunnel that is being restored. */
  tunnelWaitMs: 20_000,
  /** An ssh connection on which the other side says nothing for so long is given up and made anew. */
  sshAliveMs: 15_000,
  /** Connections through one forwarded port at a time: a push of a large image opens hundreds, a loop that leaks more. */
  tunnelConnections: 2_000,
} as const;
