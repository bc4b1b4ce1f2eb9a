/**
 * The loop that runs a job's steps: POSIX `sh` and nothing else, so that it also works in an image that knows nothing of us.
 *
 * It is started in the folder of the step files, with three pipes, and two arguments: the attempt's uid and the seconds that
 * steps get between SIGTERM and SIGKILL; a third is the name of the pipe `output`, where there are two loops. In the container of a
 * job the three pipes are files of the folder, and `output.user` tells whose the loop is.
 * - Standard input: first a mark that nobody else knows, then the names of steps, one a line. Its end ends the loop.
 * - Standard output: `ready` once `output` can be opened.
 * - 3, the life line: nothing is ever said on it but `end`. When it ends without that, the runner is dead, and the watch, a
 *   process beside the loop, ends the steps.
 *
 * A step is NAME.sh, sourced by a process of its own. All that it prints goes through the one pipe `output`, and so does,
 * behind it, the line `MARK NAME`: whoever reads that far has read all that was printed before the step ended. How it ended
 * is in NAME.exit, which is there whole or not at all; NAME.pid is its process, and where `setsid` is to be had (not on
 * macOS) its process group.
 *
 * The loop waits for a step and hears nothing meanwhile: hence the watch. It is the loop that is the steps' parent, so a
 * step that kills its parent ends the loop, which the runner sees at once.
 */
import { limits } from "../../base/limits.ts";

/** In the environment of all steps of an attempt and of nothing else; its value is the attempt's uid. */
export const stepsMark = "SEATRIAL_STEPS";
/** In the environment of one step; its value is `UID/NAME`. */
export const stepMark = "SEATRIAL_STEP";

/** The arguments of `sh` that start the loop in the folder that holds it, but for the name of its pipe `output`. */
export function loopArguments(attempt: string): string[] {
  return ["loop.sh", attempt, String(Math.ceil(limits.stepGraceMs / 1000))];
}

export const loopScript = `# Runs the steps of a job; see loop-script.ts of Seatrial.
attempt=$1
grace=$2
output=\${3:-output}

marked() {
  if [ -d /proc/self ]; then
    grep -lsF "${stepsMark}=$attempt" /proc/[0-9]*/environ | while IFS=/ read -r _ _ pid _; do echo "$pid"; done
  else
    ps -A -E -ww -o pid= -o command= | grep -F "${stepsMark}=$attempt" | while read -r pid _; do echo "$pid"; done
  fi
}

watch() {
  read -r said
  [ "$said" = end ] && exit 0
  signal=TERM
  second=0
  left=yes
  while [ "$left" ] && [ $second -le $((grace + 3)) ]; do
    left=
    for pid in $(marked); do kill -$signal "$pid" && left=yes; done
    # A step that has thrown its environment away is still in its process group.
    for file in *.pid; do
      [ -e "$file" ] && [ ! -e "$(basename "$file" .pid).exit" ] && read -r pid <"$file" && kill -$signal "-$pid" && left=yes
    done
    second=$((second + 1))
    if [ $second -lt $grace ]; then signal=0; else signal=KILL; fi
    [ "$left" ] && sleep 1
  done
}
watch <&3 >/dev/null 2>&1 &
exec 3<&-

read -r mark || exit 1
[ -p "$output" ] || mkfifo "$output" || exit 1
exec 4<>"$output" 5>"$output" 4>&-
(: >"$output.user") 2>/dev/null
seatrial_setsid=$(command -v setsid)
echo ready
exec >&5 2>&1 5>&-

while read -r step; do
  (. "./$step.sh") </dev/null &
  echo $! >"$step.pid"
  wait $!
  echo $? >"$step.tmp" && mv "$step.tmp" "$step.exit"
  echo "$mark $step"
done
`;
