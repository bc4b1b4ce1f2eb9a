/** What an action that is part of Seatrial gets in a test: folders of its own, a shell, and all that it did written down. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { onTestFinished } from "vitest";
import type { ActionContext, BuiltInAction } from "../../actions/action.ts";
import type { AssignmentMessage } from "../../protocol.ts";
import type { ServerLink } from "../../server-link.ts";

export class TestContext {
  readonly root: string;
  readonly folders: ActionContext["folders"];
  readonly said: string[] = [];
  readonly outputs: Record<string, string> = {};
  readonly variables: Record<string, string> = {};
  readonly paths: string[] = [];
  readonly state: Record<string, string> = {};
  readonly annotations: string[] = [];
  env: Record<string, string>;
  link: ServerLink;
  masking: ActionContext["masking"];

  /** @param link undefined for actions that ask the server nothing. */
  constructor(link?: ServerLink) {
    this.root = mkdtempSync(join(tmpdir(), "action-"));
    onTestFinished(() => rmSync(this.root, { recursive: true, force: true }));
    const make = (name: string) => {
      mkdirSync(join(this.root, name));
      return join(this.root, name);
    };
    this.folders = { steps: make("steps"), workspace: make("workspace"), temp: make("temp"), tools: make("tools"), artifacts: make("artifacts"), actions: make("actions") };
    this.env = { HOME: make("home"), PATH: process.env["PATH"] ?? "" };
    this.link = link ?? ({} as ServerLink);
  }

  /** Writes files below the root, as `workspace/a`. */
  write(files: Readonly<Record<string, string>>): void {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(this.root, path)), { recursive: true });
      writeFileSync(join(this.root, path), text);
    }
  }

  with(inputs: Readonly<Record<string, string>>): ActionContext {
    return {
      inputs,
      env: this.env,
      github: {},
      folders: this.folders,
      assignment: {} as AssignmentMessage,
      link: this.link,
      masking: this.masking,
      signal: new AbortController().signal,
      state: this.state,
      say: (line) => void this.said.push(line),
      setOutput: (name, value) => void (this.outputs[name] = value),
      addVariable: (name, value) => void (this.variables[name] = value),
      addPath: (path) => void this.paths.push(path),
      addMask: () => {},
      saveState: (name, value) => void (this.state[name] = value),
      annotate: (level, message) => void this.annotations.push(`${level}: ${message}`),
      run: async (script) => {
        const ran = spawnSync("sh", ["-c", script], { cwd: this.folders.workspace, env: this.env, encoding: "utf8" });
        if (ran.stderr !== "") this.said.push(ran.stderr);
        return await Promise.resolve(ran.status ?? 1);
      },
    };
  }

  async main(action: BuiltInAction, inputs: Readonly<Record<string, string>>): Promise<void> {
    await action.main(this.with(inputs));
  }
}
