const { env } = process;
console.log(`${env.STATE_main ? "post" : "main"} of ${env.INPUT_WHO}`);
require("node:fs").appendFileSync(env.GITHUB_STATE, "main=yes\n");
