const { appendFileSync } = require("node:fs");
const { env } = process;
console.log(`post for ${env.INPUT_WHO}, ${env["INPUT_WITH-DASH"]}, ${env.INPUT_EVENT}, state ${env.STATE_trail ?? "none"}`);
appendFileSync(env.GITHUB_STATE, `trail=${env.STATE_trail ?? ""}post \n`);
appendFileSync(env.GITHUB_OUTPUT, `said=post said ${env.INPUT_WHO}\n`);
