/** The command line: reads what the process was given, runs one command, turns errors into text and exit codes. */
import { homedir, tmpdir } from "node:os";
import { enableCompileCache } from "node:module";

enableCompileCache();

const { environmentFrom } = await import("../base/environment.ts");
const { runCli } = await import("./cli.ts");

// Whoever reads may be gone, as behind `| head`; the work, and above all the clean-up, goes on.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

process.exitCode = await runCli({
  argv: process.argv.slice(2),
  calledAs: process.env["SEATRIAL_ARGV0"] ?? "seatrial",
  environment: environmentFrom({
    variables: { ...process.env, SEATRIAL_ARGV0: undefined },
    homeDir: homedir(),
    tempDir: tmpdir(),
    uid: process.getuid?.() ?? 0,
    cwd: process.cwd(),
  }),
  terminal: process.stderr.isTTY ? { columns: process.stderr.columns } : undefined,
  output: {
    out: (text) => process.stdout.write(`${text}\n`),
    write: (part) => process.stdout.write(part),
    err: (text) => process.stderr.write(`${text}\n`),
  },
});
