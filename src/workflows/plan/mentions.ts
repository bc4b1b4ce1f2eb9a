/**
 * What the texts of a planned job name: secrets, variables, what is known of the event; and what they bring in that nobody holds
 * fast. Read from the texts alone, for the job's lock document: nothing is evaluated.
 */
import type { StepSpec } from "../../resources/job-run.ts";

/** The texts of a job in which expressions can be. */
export interface JobTexts {
  steps: readonly StepSpec[];
  env?: Readonly<Record<string, string>> | undefined;
  outputs?: Readonly<Record<string, string>> | undefined;
}

/** Names of a context's values: those that are named, or `all` where which ones is known only when it runs. */
export type Mentioned = "all" | readonly string[];

/** What expressions of the job name of the context `vars` or `secrets`; in capitals, as these names have no case. */
export function mentioned(context: "vars" | "secrets", job: object): Mentioned {
  const names = new Set<string>();
  const pattern = new RegExp(String.raw`(?<![\w.'-])${context}\b\s*(?:\.\s*([A-Za-z_][\w-]*)|\[\s*'([^']+)'\s*\])?`, "gi");
  for (const expression of expressionsIn(job)) {
    for (const [, name, quoted] of expression.matchAll(pattern)) {
      const found = name ?? quoted;
      if (found === undefined) return "all";
      names.add(found.toUpperCase());
    }
  }
  return [...names].toSorted();
}

/** Whether the job asks for the commit, or the payload of the event, by name; a script that asks git is not seen. */
export function asksFor(what: "commit" | "payload", job: object): boolean {
  const inExpressions = {
    commit: /\bgithub\s*(?:\.\s*(?:sha|workflow_sha)\b|\[|\))|\bjob\s*(?:\.\s*workflow_sha\b|\[|\))/i,
    payload: /\bgithub\s*(?:\.\s*event\b(?!_)|\[|\))/i,
  };
  const inTexts = { commit: /\bGITHUB_(?:WORKFLOW_)?SHA\b/, payload: /\bGITHUB_EVENT_PATH\b/ };
  return expressionsIn(job).some((each) => inExpressions[what].test(each)) || textsIn(job).some(({ text }) => inTexts[what].test(text));
}

/** Programs that fetch something from elsewhere, by how they are called; none that only fetches what a lock file names. */
const downloads: readonly RegExp[] = [
  /\b(curl|wget)\b.*\bhttps?:\/\/(?!localhost\b|127\.|0\.0\.0\.0|\[::1\]|\$|[\w.-]+\.(?:svc|local|internal|test|invalid)(?![\w.-]))/,
  /\b(apt-get|apt|apk|dnf|microdnf|yum|zypper)\s+(?:-\S+\s+)*(?:install|add|update|upgrade)\b/,
  /\b(pip3?)\s+install\b(?!.*--require-hashes)/,
  /\b(npm)\s+(?:i|install|exec)\b/,
  /\b(npx)\s/,
  /\b(yarn|pnpm)\s+(?:add|dlx)\b/,
  /\b(go)\s+(?:install|run|get)\s+\S+@(?:latest|main|master)\b/,
  /\b(cargo|gem)\s+install\b/,
  /\b(git)\s+clone\b/,
  /\b(docker|podman|nerdctl|crictl)\s+pull\b(?!.*@sha256:)/,
  /\b(helm)\s+(?:repo\s+(?:add|update)|pull)\b/,
  /\b(kubectl)\s+(?:apply|create)\b.*\s-f\s*https?:/,
];

/** What scripts download, as far as that can be read in them: a sentence for each step and program, with the path in the lock document. */
export function downloadsOf({ steps }: JobTexts): string[] {
  return steps.flatMap(({ run = "" }, index) => {
    const lines = run.replaceAll(/\\\n/g, " ").split("\n");
    const programs = lines.flatMap((line) => {
      if (line.trimStart().startsWith("#")) return [];
      return downloads.flatMap((pattern) => pattern.exec(line)?.[1] ?? []);
    });
    return [...new Set(programs)].map((program) => `job.steps[${index}].run: what ${program} brings is not recorded`);
  });
}

function expressionsIn(job: object): string[] {
  return textsIn(job).flatMap(({ key, text }) => {
    if (key === "if" || key === "continueOnError" || key === "timeoutMinutes") return [text];
    return [...text.matchAll(/\$\{\{([^]*?)\}\}/g)].map(([, inside]) => inside!);
  });
}

/** All texts in a value, with the key that each is the value of. */
function textsIn(value: unknown, key = ""): { key: string; text: string }[] {
  if (typeof value === "string") return [{ key, text: value }];
  if (value === null || typeof value !== "object") return [];
  return Object.entries(value).flatMap(([name, below]) => textsIn(below, name));
}
