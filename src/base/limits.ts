/**
 * Every bound of the project, with its reason. A loop, queue, buffer, retry or wait that is not bounded by one of these
 * is a defect.
 */
export const limits = {
  /** A cluster that is not Ready by then will not be: the slowest of eight at once on two cores took 90 s here. */
  clusterReadyMs: 300_000,
  /** One question to an API that is not there costs no more than this before we ask again. */
  apiRequestMs: 5_000,
  /** A wait that lasts longer is explained, again and again: half of a usual boot. */
  explainWaitMs: 15_000,
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
  /** A look at a machine (`doctor`) waits no longer for any of its parts; what has not answered by then is a finding. */
  doctorCheckMs: 5_000,
  /** Whether a download site can be reached: asked only for what is absent; a silent firewall costs this once. */
  doctorSiteMs: 2_000,
  /** kind's own figures for several nodes on one host; below them pods die of "too many open files". */
  inotifyInstances: 512,
  inotifyWatches: 524_288,
  /** As many subnets as the making of one network tries in a row: with fewer free ones it may meet none. */
  freeSubnetsLow: 64,
  /** Docker's disk: a node copies 1.3 GB of its image for itself, so 2 GB boot one; a node image and a few clusters take 10. */
  dockerDiskLeastBytes: 2 * 1024 ** 3,
  dockerDiskLowBytes: 10 * 1024 ** 3,
  /** The data folder: etcd writes its log ahead in pieces of 64 MB, two of them at once; the logs of failed boots are more. */
  dataDiskLeastBytes: 256 * 1024 ** 2,
  dataDiskLowBytes: 1024 ** 3,
  /** The cache: all programs of one Kubernetes version take 0.6 GB; building them 14 GB in Go's own caches beside it. */
  cacheDiskLowBytes: 1024 ** 3,
  cacheDiskBuildBytes: 16 * 1024 ** 3,
  /** Memory of one cluster at rest, as measured: a kind node; etcd with kube-apiserver. */
  kindClusterBytes: 400 * 1024 ** 2,
  bareClusterBytes: 320 * 1024 ** 2,
} as const;
