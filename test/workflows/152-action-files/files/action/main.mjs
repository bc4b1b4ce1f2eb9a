import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
const { env } = process;
appendFileSync(env.GITHUB_ENV, "SET_BY_ACTION<<END\nvalue\nEND\n");
mkdirSync(`${env.RUNNER_TEMP}/bin`);
writeFileSync(`${env.RUNNER_TEMP}/bin/own`, "#!/bin/sh\necho own program\n", { mode: 0o755 });
appendFileSync(env.GITHUB_PATH, `${env.RUNNER_TEMP}/bin\n`);
appendFileSync(env.GITHUB_STATE, "kept=mine\n");
console.log("::warning::careful");
