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
  /** Of a node's own logs, each file, all that is read of them, and how many files, folders and links: a busy node has some hundreds. */
  collectFileBytes: 20 * 1024 ** 2,
  collectArchiveBytes: 512 * 1024 ** 2,
  collectArchiveEntries: 5_000,
  /** Logs of boots that failed, all together: some twenty of kind, as failed boots come in series. */
  failedBootsBytes: 2 * 1024 ** 3,
  /** Commands look no more often what of them is too old or too much: all of their files are counted. */
  failuresLookMs: 3_600_000,
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
  /** A write that meets another process's waits for it: a commit takes milliseconds, one on a disk under load a second. */
  databaseBusyMs: 5_000,
  /** Statements that a connection keeps prepared: more than there are in the program, so that only lists of values compete. */
  databaseStatements: 200,
  /** Connections to Postgres for each of our databases; its own default allows 100 for all replicas. */
  databaseConnections: 8,
  /** A query that runs longer has met a broken plan or a broken network. */
  databaseQueryMs: 60_000,
  /** After the last query of a SQLite connection that reads, until its thread ends. */
  databaseIdleMs: 15_000,
  /** Writes that share one transaction: what gathers during one commit at 200 webhooks a second, and room for a burst. */
  commitGroup: 64,
  /** Writes that wait for the database before more are refused: 20 s of its work. */
  commitQueue: 10_000,
  /** A transaction that Postgres ended for another's sake is made again. */
  commitAttempts: 5,
  /** Rows of a projection in one statement: 2 ms of the event loop. */
  projectionRows: 50,
  /** Items of a page where the caller says nothing, and the most that it may ask for. */
  pageItems: 50,
  pageItemsMost: 500,
  /** GitHub sends no larger payload; also the bound of a document that is kept by its digest. */
  deliveryBytes: 25 * 1024 ** 2,
  /** What one attempt may leave in the history; the rest is counted and left out. GitHub shows 50 annotations. */
  attemptAnnotations: 1_000,
  attemptTests: 20_000,
  attemptArtifacts: 10_000,
  attemptEvents: 10_000,
  /** Message and details of a failing test: a long diff is in the log, and in the report file. */
  testMessageBytes: 4 * 1024,
  testDetailsBytes: 16 * 1024,
  /** A sealed piece of a log: one object. Small enough to be in memory, large enough that 1 GiB is 256 objects. */
  logChunkBytes: 4 * 1024 ** 2,
  /** Rows of a log's tail, and blocks of the line index: what is searched for a line feed to find a line. */
  logRowBytes: 256 * 1024,
  logBlockBytes: 64 * 1024,
  /** One append: 16 times what the runner sends. */
  logAppendBytes: 4 * 1024 ** 2,
  /** Pieces of one log that wait to be sealed before its appends wait too: the disk's queue, not ours. */
  logUnsealedChunks: 4,
  /** Logs that are sealed at once, each with one piece in memory. */
  logSealsAtOnce: 2,
  /** Times of a log's lines are kept to the second: pages show no more. */
  logTimeStepMs: 1_000,
  /** Lines and bytes of one answer, and of one line in it; the raw log has all. */
  logLinesShown: 5_000,
  logShownBytes: 4 * 1024 ** 2,
  logLineShownBytes: 16 * 1024,
  /** Another process's appends are seen by then. */
  logFollowPollMs: 500,
  /** Pages of the logs' SQLite file: its values are large. */
  logPageBytes: 16 * 1024,
  /** How much of it is written ahead: a tenth less is written than with SQLite's own 16 MiB, as what was sealed is not carried over. */
  logCheckpointBytes: 32 * 1024 ** 2,
  /** Rows of a log's tail that are read at once, all of one chunk: many when each is a line. */
  logTailRows: 256,
  /** S3's own bound on keys; and a file system's on one part of a path. */
  objectKeyBytes: 1024,
  objectNameBytes: 255,
  /** Files that were left half written by a process that died. */
  objectAbandonedMs: 24 * 3_600_000,
  /** `sun_path` has 104 bytes on macOS and 108 on Linux, with the zero at its end; Node cuts what is longer, silently. */
  socketPathBytes: 103,
  /** Path of one artifact. */
  artifactPathBytes: 512,
  /** One call of a runner to its server: a chunk of 1 MiB over a slow link, or a server that is stopping. */
  runnerRequestMs: 30_000,
  /** Pauses between tries while the server does not answer: a restart takes a second or two, an outage needs no storm. */
  runnerRetryFirstMs: 100,
  runnerRetryMs: 5_000,
  /** How long a runner that has nothing else to do goes on trying to deliver: a server's upgrade fits in, a dead server ends it. */
  runnerServerAwayMs: 600_000,
  /** A runner that has said nothing for a few of these is lost. */
  runnerHeartbeatMs: 5_000,
  /** The line of JSON that a runner is started with, and the longest answer, its assignment: the event alone may have 25 MiB. */
  runnerInputBytes: 64 * 1024,
  runnerAnswerBytes: 64 * 1024 * 1024,
  /** Log that the server has not acknowledged: a talkative job during a restart; when it is full, the step's output waits. */
  runnerSpoolBytes: 64 * 1024 * 1024,
  /** Log of one attempt; what a step prints after that is read and not kept. A loop around `yes` fills any disk. */
  runnerLogBytes: 4 * 1024 ** 3,
  /** One call with log: large enough for 50 MB/s and more, small enough to be sent again. */
  runnerLogChunkBytes: 1024 * 1024,
  /** How long the first bytes after a silence wait for more, and how long bytes wait while more are coming all the time. */
  runnerLogQuickMs: 10,
  runnerLogBatchMs: 200,
  /** A step that is told to end has this long before SIGKILL: GitHub's own figure. */
  stepGraceMs: 7_500,
  /** What a job left running gets less: it had all the time of the job. */
  orphanGraceMs: 1_000,
  /** After SIGKILL a process that the kernel cannot end (a dead network disk) is given up. */
  stepKillMs: 10_000,
  /** Steps with `always()` after an abort or the job's timeout, altogether: GitHub's own figure. */
  afterAbortMs: 300_000,
  /** An executor's stop: the grace of a step, and what it takes to deliver the rest of the log. */
  runnerStopMs: 30_000,
  /** Outputs of one job: what the API server takes in one resource, with room for the rest of it. */
  jobOutputBytes: 1024 * 1024,
  /** A line that begins like a workflow command and does not end by then is text. */
  commandLineBytes: 256 * 1024,
  /** What a job leaves in ARTIFACTS. Beyond these nothing is kept, and the log says so. */
  artifactBytes: 5 * 1024 ** 3,
  artifactDepth: 32,
  artifactsAtOnce: 4,
  /** Tries of one `git fetch`, 1, 2, 3 s apart: the server may be restarting. */
  checkoutTries: 4,
  /** What is checked out at once: the largest of one repository have half a million files. */
  checkoutEntries: 1_000_000,
  checkoutBytes: 64 * 1024 ** 3,
  /** A value to mask has at least so many characters, as GitHub has it: shorter ones would blacken the whole log. */
  maskLeastChars: 4,
  /** All forms of all values to mask; a value has twenty times its length in forms. Thousands of tokens, eighty kubeconfigs, or eight secrets of 48 KiB; at the bound up to 270 MB of memory while the forms are made. */
  maskFormsBytes: 8 * 1024 * 1024,
  /** A JUnit file: Kubernetes' own conformance run writes 20 MB. What comes after is not read. */
  junitFileBytes: 64 * 1024 ** 2,
  /** Tests of one file, and how deep its elements nest: the largest suites known have 50,000; writers nest eight deep. */
  junitTests: 100_000,
  junitDepth: 64,
  /** A name or attribute, a message, a failure's text, and all kept text of one file: what a page shows, and what memory bears. */
  junitNameChars: 4096,
  junitMessageChars: 16 * 1024,
  junitDetailsChars: 64 * 1024,
  junitKeptChars: 32 * 1024 ** 2,
  /** Attributes of one element; errors in the XML of one file (a colourful log has thousands), and those that are told. */
  junitAttributes: 200,
  junitXmlErrors: 100_000,
  junitProblems: 20,
  /** Failed tests of a log whose lines are looked for: nobody opens more. */
  locateTests: 2_000,
  /** Lines of a failure's text that are looked for, and characters of each: the assertion and its surroundings. */
  locateLines: 60,
  locateLineChars: 400,
  /** Lines around a message within which the test's name or other lines of its failure speak for it. */
  locateWindow: 60,
  /** Places that are considered for one test at a time. */
  locateCandidates: 32,
  /** Failures that are told apart although they share a name, a line, or a line's rarest word: each costs at each such line of the log. */
  locateTwins: 64,
  /** A secret's value, and secrets of one repository: GitHub's own limits. */
  secretValueBytes: 48 * 1024,
  secretsPerScope: 100,
  /** The file of all secrets, which is written whole. */
  secretsFileBytes: 64 * 1024 ** 2,
  /** A workflow file: this takes half a second of a core to read, and nobody writes more by hand. */
  workflowCharacters: 512 * 1024,
  /** Values of a workflow when its aliases are followed: the largest file has as many. How deep they nest: what keys need is nine. */
  workflowNodes: 50_000,
  workflowDepth: 64,
  /** Problems of one file that are shown: more are not read, and each has a line. */
  workflowProblems: 100,
  /** Jobs of a workflow: a Run lists no more. */
  workflowJobs: 1_000,
  /** What one job holds in steps, env and outputs: its JobRun, with 1 MiB for what it needs, stays within etcd's 1.5 MiB. */
  workflowJobCharacters: 384 * 1024,
  /** Cells of a matrix, as on GitHub; combinations that are looked at before `exclude` takes its part. */
  matrixCells: 256,
  matrixCombinations: 65_536,
  /** GitHub's bound for an expression. */
  expressionCharacters: 21_000,
  /** What the expressions of one text may read and make, in characters, and all of one job's that the server evaluates: at worst 0.1 s and 0.3 s. */
  expressionWork: 16 * 1024 ** 2,
  decisionWork: 64 * 1024 ** 2,
  /** A pattern for branches or tags: git's refs are shorter. */
  patternCharacters: 1_024,
  /** Of filters of paths, for one change: patterns are a stranger's, and nothing else runs meanwhile. 3,000 files against 30 patterns take 10 million. */
  patternSteps: 20_000_000,
  /** What a step may write into GITHUB_OUTPUT, GITHUB_ENV or GITHUB_PATH: as much as the outputs of a job. */
  commandFileCharacters: 1024 * 1024,
  /** The message of an annotation; what a forge shows of it is shorter. */
  annotationCharacters: 64 * 1024,
  /** Connections to one API server: more than 64 requests in flight made nothing faster, and each has its TLS state. */
  apiConnections: 64,
  /** Requests that wait for one of them: those of 32 reconciles that make 256 JobRuns each, and room for the others'. */
  apiWaiting: 10_000,
  /** An answer of the API: a page of {@link informerPageItems} of the largest resources fits, a mistake does not fill the memory. */
  apiAnswerBytes: 256 * 1024 * 1024,
  /** kubectl's own page. */
  apiPageItems: 500,
  /** A page of our own resources: each can have the 1.5 MB that etcd takes, and a cache that cannot be filled stops everything. */
  informerPageItems: 100,
  /** The API server sends a bookmark each minute: a watch that is silent for three is dead. */
  watchSilenceMs: 180_000,
  /** One event of a watch: etcd takes 1.5 MB, and JSON can make each byte six. */
  watchEventBytes: 10 * 1024 * 1024,
  /** Between two attempts to watch: an API server that starts anew takes three seconds, and is not to be flooded. */
  watchRetryFirstMs: 50,
  watchRetryMostMs: 5_000,
  /** Changes of one kind that a store in memory can tell later: as many as a run with 256 jobs makes, several times over. */
  memoryHistoryEvents: 10_000,
  /** A CustomResourceDefinition is served within a second; on two busy cores within five. */
  crdServedMs: 60_000,
  /** A key whose reconcile failed: at once, then doubled up to a minute, which is how long an operator will wait for it. */
  reconcileRetryFirstMs: 20,
  reconcileRetryMostMs: 60_000,
  /** Every resource is looked at again so often, whether or not anything happened: what no event told is found. */
  resyncMs: 600_000,
  /** Reconciles that run when the server stops may take this long to end by themselves, as those do that only write; then they are told to. */
  drainMs: 2_000,
  /** Keys whose last error is kept to be looked at; more fail only when all fails for the same reason. */
  reconcileErrors: 1_000,
  /**
   * Leader election. Others take over when the Lease has not changed for `leaseMs`; the leader itself gives up earlier, by
   * more than a request of {@link apiRequestMs} takes, so that its last write has ended by then.
   */
  leaseMs: 15_000,
  leaseHeldMs: 9_000,
  leaseRenewMs: 2_000,
  /** One git command on a repository of this machine: the snapshot of a working tree of 100,000 files takes a few seconds. */
  gitCommandMs: 60_000,
  /** A fetch: the first of a repository of some GB. */
  gitFetchMs: 1_200_000,
  /** What one fetch may bring: the largest repositories that people test have some GB, and a server has more than one. */
  gitFetchBytes: 16 * 1024 ** 3,
  /** A fetch of less is made on a full disk too. */
  gitSmallFetchBytes: 1024 ** 2,
  /** How often it is looked at how much a fetch has brought: in that time 1 GB/s is 200 MB. */
  gitFetchLookMs: 200,
  /** Memory of one git command: a merge of trees with 100,000 files takes 100 MB, one of a tree that names itself takes all there is. */
  gitMemoryBytes: 1024 ** 3,
  /** Of one that takes a pack in, or makes one: some 200 bytes for each of ten million objects. */
  gitHelperMemoryBytes: 4 * 1024 ** 3,
  /** A lock of a ref, which is one commit's alone, is held for a millisecond: beyond, its holder was killed. */
  gitRefLockMs: 2_000,
  /** A list of what is held in a mirror: 60 bytes for each of a million commits. */
  gitHeldBytes: 64 * 1024 ** 2,
  /** Packs of a mirror, one of each fetch, of which one is made; and files of objects in one of 256 folders, from merges. git's own are 50 and 27. */
  gitPacks: 20,
  gitLooseFiles: 27,
  /** How often a mirror is packed whole, and what nothing holds any more is looked for. */
  gitCollectEveryMs: 7 * 86_400_000,
  /** One such: half an hour of a disk that does 50 MB/s, for the largest that a fetch can bring. */
  gitCollectMs: 1_800_000,
  /** What nothing holds any more stays for so long: git's own figure. */
  gitGraceMs: 14 * 86_400_000,
  /** A mirror without any commit is removed when no process has opened it for so long: one that has is about to fetch. */
  gitMirrorUnusedMs: 3_600_000,
  /** A forge that sends nothing for so long is gone; it counts objects for a while before it sends the first. */
  gitStallMs: 60_000,
  /** A workflow file is far smaller; what is larger is not read as one. */
  gitFileBytes: 1024 ** 2,
  /** Changed paths that are looked at: GitHub looks at 300. And folders that are looked into for them: ten levels for each. */
  gitChangedPaths: 3_000,
  gitChangedFolders: 30_000,
  /** Fetches of runners that are answered at once, each with some 50 MB on a core; and those that wait for their turn. */
  gitServes: 8,
  gitServesWaiting: 1_000,
  /** One of them: the slowest runner's whole clone. */
  gitServeMs: 600_000,
  /** What a client says in one request: wants, and what it has, 50 bytes each. */
  gitRequestBytes: 4 * 1024 ** 2,
  /** GitHub's own cap for a webhook's body; Gitea has none. */
  webhookBytes: 25 * 1024 ** 2,
  /** One question to a forge, and how many at once: a forge under load takes seconds. */
  forgeRequestMs: 20_000,
  forgeConnections: 8,
  /** A page of 50 pull requests, each with two repositories, has 1 MB. */
  forgeAnswerBytes: 16 * 1024 ** 2,
  /** No forge closes its door for longer; a clock that is wrong says it does. */
  forgeRetryAfterMs: 3_600_000,
  /** Open heads of one repository: branches, and pull requests. */
  forgeHeads: 10_000,
  /** How long an answer about who may write, or what a repository is called, is believed; and how many are kept. */
  forgeBelieveMs: 60_000,
  forgeBelieved: 1_000,
  /** Checks and comments of which is remembered what is shown: those of a day of 10,000 jobs. */
  forgeShown: 20_000,
  forgeShownMs: 86_400_000,
  /** GitHub's bounds for the description of a status, and for a comment. */
  checkDescriptionCharacters: 140,
  commentCharacters: 65_536,
  /** What a comment at a pull request shows: jobs, tests of each, and characters of names and messages; altogether less than a forge takes. */
  commentJobs: 15,
  commentTests: 5,
  commentNameCharacters: 200,
  commentMessageCharacters: 200,
  /** Runs of a pull request among which those of its newest head are looked for: one for each workflow and push. */
  commentRuns: 100,
  /** A run that ended stays in the API until its forge shows it, but no longer than this: a forge may be gone for good. */
  unreportedRunMs: 86_400_000,
  /** Refs of a local repository are read again after so long, should the file system have told of no change: a git command and 10 ms of CPU. */
  localForgePollMs: 10_000,
  /** A push writes several files: they are one change. */
  localForgeSettleMs: 20,
  /** A runner that was not heard for so long, six heartbeats, is looked for. */
  runnerSilenceMs: 30_000,
  /** What a runner that was told to end, or whose time is up, may take to end its steps and send the rest; then it is ended. */
  runnerEndMs: 60_000,
  /** Time of a job that says nothing of it: GitHub's. */
  jobMinutes: 360,
  /** Boots of one cluster for a job: the second heals what a host's hiccup broke, a third would only take longer. */
  clusterBoots: 2,
  /** What a job made may live so long when no server is there to judge: the longest job, 72 hours, and a day in which it is held. */
  jobClusterMs: 98 * 3_600_000,
  /** Finished runs stay in the API so long, for people with kubectl; the history has them. */
  finishedRunMs: 600_000,
  /** Upkeep is cheap when there is nothing to do: four lists. */
  upkeepEveryMs: 30_000,
  /** Deliveries are handled when they come; one whose retry is due, or that another process stored, is found after so long. */
  inboxPollMs: 2_000,
  /** How often all open heads are compared with their runs: a lost webhook costs no more than this. */
  headsEveryMs: 300_000,
  /** A delivery that a process had when it died is handled again after this; a first fetch of a large repository takes minutes. */
  deliveryLeaseMs: 600_000,
  /** A forge that is down for ten minutes: a second after the first attempt, then doubled up to a minute, 15 minutes altogether. */
  deliveryAttempts: 20,
  deliveryRetryFirstMs: 1_000,
  deliveryRetryMostMs: 60_000,
  /** Deliveries that are handled at once: one that waits for its forge must not hold up those of another. */
  deliveriesAtOnce: 8,
  /** Keys of one kind that are reconciled at once: most of the time of each is waiting for an answer. */
  reconcileWorkers: 32,
  /** Whoever follows a run is told of what another process wrote after so long at the latest. */
  streamPollMs: 1_000,
  /** Lines of a log that one page shows: a browser lays out so many in half a second. */
  pageLogLines: 5_000,
  /** Lines that come while a page is open: a flood of log must not fill whoever has left it open. */
  pageFollowedLines: 20_000,
  /** A list of so many items stands open above a job's log; of a longer one only the count: the log is what is looked for. */
  pageListShown: 12,
  /** Of clusters that jobs write to: 200 events at 1.5 MiB, etcd's bound, still fit into memory. */
  collectEvents: 200,
  /** Of the name of a file that is made from a pod's. */
  archiveNameLength: 200,
  /** Of a file, what is looked at to tell whether it is text: as git does. */
  textHeadBytes: 8_192,
  /** What is kept of one cluster of a job that failed. */
  evidenceBytes: 256 * 1024 ** 2,
  /** A cluster of a job that is not up by then, waiting for others included, is given up. */
  jobClusterBootMs: 30 * 60_000,
  /** A runner that could not be started is started again for so long, where that may help. */
  runnerStartMs: 2 * 60_000,
  /** Of an artifact, masked at once: a millisecond of the runner. */
  maskPieceBytes: 256 * 1024,
  /** Attempts that a JobRun's status keeps beside the last. */
  attemptsShown: 99,
  /** What one attempt may leave, all together. */
  attemptArtifactBytes: 10 * 1024 ** 3,
  /** The least memory of a container whose change is not trusted; it gets a fair part of its host's. */
  isolatedMemoryLeast: 512 * 1024 ** 2,
  /** Of its host's memory, what one container of a job may take: what is left is for Docker, other jobs' first steps and whoever looks. */
  containerMemoryPercent: 75,
  /** Processes of a container: a build of a large program has hundreds, a fork bomb ends here. */
  containerProcesses: 4_096,
  /** A runner's report: outputs, and the steps and annotations since the last. */
  reportBytes: 4 * 1024 ** 2,
  /** Characters of values to mask in one report, beside the largest outputs: JSON may write each as six bytes. */
  reportMasksLength: 64 * 1024,
  /** Characters of annotations, as JSON, that go in one report: in bytes they are up to three times that, and one alone may be as long again. */
  reportAnnotationsLength: 256 * 1024,
  /** Files of workflows in one commit. */
  workflowFiles: 100,
  /** What is kept of the message of a cluster's event. */
  eventMessageLength: 2_048,
  /** How often hosts are asked whether they answer: a job that waits for one waits so long more. */
  hostEveryMs: 10_000,
  /** A Docker that does not tell its version in this time does not answer. */
  hostAnswerMs: 5_000,
  /** Jobs at once on a host that does not say: most wait for clusters, networks and disks. */
  hostJobsPerCpu: 4,
  hostJobsLeast: 4,
  /** What a kind node takes with a little in it: a host takes as many clusters as fit. */
  clusterMemoryBytes: 1024 * 1024 * 1024,
  /**
   * What etcd may hold: what 100 JobRuns a second leave in the ten minutes until the API server has compacted, four versions of
   * 10 KiB each, is 2.4 GB. Beyond 8 GiB etcd itself advises against.
   */
  etcdQuotaBytes: 4 * 1024 ** 3,
  /** etcd's file is defragmented when so much of it, and more than half, is free: a file that is in use blocks writes for 1 s per GB. */
  etcdFreeBytes: 64 * 1024 ** 2,
  /** How often etcd's file is looked at: for so long nothing can be written when it is full. */
  etcdLookMs: 60_000,
  /** Defragmenting copies what is in use: 4 GiB on a slow disk. */
  etcdRequestMs: 120_000,
  /** How often retention and seals that failed are looked after: what they do is measured in days. */
  upkeepSlowlyEveryMs: 600_000,
  /** Runs, logs, artifacts and deliveries that one step of retention removes: a fraction of a second, then others have their turn. */
  pruneAtOnce: 20,
  /** Rows that one transaction of retention deletes: 5 ms in which no webhook is stored. */
  pruneRows: 1_000,
  /** How long it is remembered what ran: GitHub's own figure. */
  retainRunsDays: 400,
  /** Logs: GitHub's own figure. */
  retainLogsDays: 90,
  /** Artifacts are the largest part, and are looked at in the days after. */
  retainArtifactsDays: 30,
  /** Deliveries that were handled: to look into, or replay, what a forge said. Each has up to 25 MiB. */
  retainDeliveriesDays: 14,
  /** How often the data folder's disk is looked at; a job that writes 100 MB/s takes half of {@link diskUploadsBytes} in that time. */
  diskLookMs: 2_000,
  /** Below so much free space no job is started: it is where `doctor` begins to warn, and what running jobs still bring. */
  diskJobsBytes: 1024 ** 3,
  /** Below so much no log and no artifact is taken: etcd, which would stop for good, writes ahead in pieces of 64 MB. */
  diskUploadsBytes: 256 * 1024 ** 2,
  /** Delays of the event loop are gathered over so long, then reported until the next are there: longer than a scrape, shorter than an alarm. */
  metricsWindowMs: 60_000,
  /** A control plane that lost a process is whole again soon; the look costs two reads. */
  controlPlaneLookMs: 1_000,
  /** One that ends each time that it is started (the disk is full) is started no more often than this, once it has done so a few times. */
  controlPlaneRestartMs: 30_000,
  /** How long a cache may be without what was just made; then it is made again, should somebody have deleted it in between. */
  cacheBehindMs: 5_000,
  /** The counts of a Run that goes on are written no more often: people read them, and nothing else waits for them. */
  runCountsMs: 2_000,
  /** How long whoever follows a run or a log waits for a server that is away: 10 s, in which one is restarted. */
  apiReopens: 40,
  apiReopenMs: 250,
  /** A connection that happens to have the runners' port ends by then; a program that listens on it does not. */
  runnerPortMs: 5_000,
  /** A job that no declared host can ever hold waits so long for one: whoever reads why it waits has declared a Host by then, or will not. */
  fitsNowhereMs: 3_600_000,
  /** What is kept of the API's words about a status that it refused: the first fields. */
  refusedMessageLength: 1_000,
  /** How often it is written down of a repository that a delivery was about it: a write for each of 200 a second tells nobody more. */
  repositoryStatusMs: 60_000,
  /** A registry that is asked for the digest of an image: one on the other side of the world. */
  imageDigestMs: 20_000,
  /** A Docker host that could not be connected to is not tried again so soon: all of a command's leftovers there wait for it once. */
  hostSilenceMs: 5_000,
  /** GitHub's bounds of inputs: how many can be declared for a dispatch, and how long all values are together. */
  dispatchInputs: 25,
  inputCharacters: 65_535,
  /** GitHub says no bound for those of a called workflow: as many as anybody could still give. */
  callInputs: 100,
  /** Days that are looked at for the next time of a cron expression: 29 February can be eight years away. */
  cronDays: 8 * 366 + 2,
  /** One cache, and all of one repository: GitHub's own figure for all. The untrusted lane has less, and takes none of it from the other. */
  cacheBytes: 5 * 1024 ** 3,
  cacheRepositoryBytes: 10 * 1024 ** 3,
  cacheUntrustedBytes: 2 * 1024 ** 3,
  /** A cache when it is unpacked: a good archive is a quarter as large, a bad one (`zeros`) a thousandth. */
  cacheUnpackedBytes: 20 * 1024 ** 3,
  /** Caches of one repository and lane: keys that hold a commit make one for each. */
  cachesPerRepository: 1_000,
  /** A cache that nobody has used for so long goes: GitHub's own figure. */
  cacheUnusedMs: 7 * 86_400_000,
  /** Keys of caches, and of restore keys how many: GitHub's own figures. */
  cacheKeyCharacters: 512,
  cacheKeys: 10,
  /** Artifacts with a name of one run: GitHub's own figure is 500 for a job. */
  uploadsShown: 5_000,
  /** Files and folders that patterns of one step are held against: a large `node_modules`. */
  globEntries: 500_000,
  /** Of one pattern: no path is longer. */
  globCharacters: 4_096,
  /** What the `{a,b}` of one pattern may stand for, all together. */
  globChoices: 256,
  /** A program that is asked for its version: `kubectl` takes 0.1 s, on a loaded machine some seconds. */
  toolVersionMs: 10_000,
  /** Versions of programs that are remembered: ten tools and a control plane, in some fifty states of a machine. */
  toolVersions: 1_000,
  /** Artifacts that were brought for a job that is reproduced: for as long as somebody tries it again and again. */
  broughtUploadMs: 86_400_000,
  /** Commits that were fetched to reproduce a job are kept for as long: who looks into a failure does so within days. */
  reproducedDays: 14,
  /** Lines of a job's lock document that tell what is not pinned: the first are enough to know that it is not. */
  unpinnedParts: 100,
  /** Name of a concurrency group, and how many wait in one with `queue: max`: GitHub's own figures. */
  concurrencyGroupCharacters: 400,
  concurrencyQueue: 100,
  /** Levels of workflows that call each other, and files of a tree of them: GitHub's own figures. */
  callDepth: 10,
  calledWorkflows: 50,
  calledCharacters: 4 * 1024 ** 2,
  /** What a called job is told of those that call it: inputs, and what the secrets that are passed to it depend on. */
  callContextCharacters: 256 * 1024,
  /** Lines of a lock file of actions: a repository with 100 workflows names some fifty different ones. */
  lockedActions: 2_000,
  /** How deep composite actions use one another: GitHub's own figure. */
  compositeDepth: 10,
  /** Actions of one job, with those that its composite actions use: five for each of a hundred steps. */
  jobActions: 500,
  /** Caches that a lock document has: a job restores a handful. What comes after them is told as unpinned. */
  lockedCaches: 100,
  /** Actions that are looked for for one attempt at once, each with processes of git: a runner asks for one after the other, and again when it takes long. */
  actionsAtOnce: 4,
  /** What is unpacked of the repository of one action: the largest that are in use have 20,000 files and 300 MB. */
  actionFiles: 50_000,
  actionBytes: 1024 ** 3,
  /** What the fetch of one may bring: it is a pack without history, and so smaller than what it holds. */
  actionFetchBytes: 1024 ** 3,
  /** Mirrors of actions that nobody has used for so long go; the oldest go earlier when all together are too many. */
  actionKeptDays: 30,
  actionMirrorsBytes: 20 * 1024 ** 3,
  /** A header of its archive: a path, and where a link leads, of which systems take 4 KiB each. */
  actionHeaderBytes: 64 * 1024,
  /** Its metadata, `action.yml`: twice what a workflow file may have. */
  actionMetadataBytes: 1024 ** 2,
  /** For so long it is believed which commit a tag or a branch of an action is: a job of fifty steps asks its forge once for each. */
  actionRefMs: 60_000,
  /** Refs of actions that are remembered: a hundred each of a hundred repositories. */
  actionRefs: 10_000,
  /** Entries of a workflow's `schedule`: each is looked at several times a minute. */
  workflowSchedules: 20,
  /** A runner that asks for a container is answered by then, if only that it is not there yet: a call that is open for long is lost with its server. */
  containerAnswerMs: 2_000,
  /** How often a runner asks for a container that is not ready: a service takes seconds, and each question asks Docker. */
  containerPollMs: 200,
  /** A container that has closed its output has ended soon after. */
  containerEndMs: 20,
  /** Images of a job are pulled, and its services healthy, by then; a service that never gets healthy tells so itself, as a rule. */
  containersReadyMs: 1_800_000,
  /** A container that runs has begun its loop by then; the host may be busy with ten others. */
  containerLoopMs: 60_000,
  /** What is shown of the log of a service that does not get healthy: why is in its last lines. */
  containerLogLines: 200,
  containerLogCharacters: 64 * 1024,
  /** The folder of a Docker action's Dockerfile: what is larger is data, which is fetched by the Dockerfile. */
  imageContextBytes: 256 * 1024 ** 2,
  /** Output of a Docker action whose image has no shell: it comes in one answer. */
  actionOutputLines: 200_000,
  actionOutputCharacters: 8 * 1024 ** 2,
  /** Containers that an attempt has at once beside its runner's: 16 services, its own, an action's, and room for what the table of keys will have. */
  attemptContainers: 32,
  /** Containers that are made for one attempt at once: each may hold a connection of its Docker for as long as an image takes. */
  containersAtOnce: 4,
  /** Containers that are being made, and those of which it is kept why they could not be: many times what a server has at once. */
  containersMade: 10_000,
  /** Writers of one status: the controller, and one for each container of an attempt. */
  statusTries: 20,
  /** A request for a container: its environment is most of it. */
  containerRequestBytes: 4 * 1024 ** 2,
  /** GitHub's bounds of a repository_dispatch: top-level keys of its payload, its bytes, and the length of its type. */
  dispatchPayloadKeys: 10,
  dispatchPayloadBytes: 64 * 1024,
  dispatchTypeCharacters: 100,
  /** How often schedules are looked at: a run begins so long after its time at most, and a look at a thousand repositories costs some 100 ms. */
  schedulesEveryMs: 10_000,
  /** A time that was noted and is so far ahead comes from a clock that was put back since; less is two machines that differ. */
  clockBackMs: 120_000,
  /** Problem matchers of one job, patterns of each, characters of a line and of a pattern that count: compilers' own lines are shorter. */
  problemMatchers: 50,
  problemPatterns: 20,
  problemLineCharacters: 4_096,
  /** How long they may take for what is printed at once: a regular expression can take for ever, and nothing else runs meanwhile. */
  problemMatchMs: 250,
  /** How often one that was ended is tried alone, each time for twice as long: on a machine that gives a fifth of a processor that is enough. */
  problemMatchTries: 3,
  /** Step summaries of one job that are shown, and bytes of each: GitHub's own figures. */
  summariesShown: 20,
  summaryBytes: 1024 ** 2,
  /** Tags in tags of a summary: people nest three or four. */
  summaryDepth: 32,
  /** Notices at the head of a job's log; as many as the resource has. */
  jobNotices: 20,
  /**
   * How long the server keeps a connection on which nothing is asked. Longer than proxies keep theirs (a minute) and programs too:
   * closed by whoever asks, it cannot be closed while a request is on its way.
   */
  keepAliveMs: 75_000,
} as const;
