import { expect, test } from "vitest";
import { reportOf } from "../../doctor/check.ts";
import { reportTable } from "./doctor.ts";

test("a table: what mends a finding is below it, what can be made here at the end", () => {
  const report = reportOf(
    [
      { name: "etcd", state: "ok", found: "v3.6.8, in PATH: /bin/etcd", needed: ["bare"] },
      {
        name: "docker",
        state: "missing",
        found: "nothing\n  listens there",
        needed: ["kind"],
        fix: "sudo systemctl start docker\n# or name another",
      },
      { name: "leftovers", state: "unknown", found: "none" },
    ],
    undefined,
  );
  expect(reportTable(report)).toBe(`CHECK       STATE     FOUND
etcd        ok        v3.6.8, in PATH: /bin/etcd
docker      missing   nothing listens there
    $ sudo systemctl start docker
    # or name another
leftovers   unknown   none

kind clusters cannot be made here: docker
bare clusters can be made here
`);
});
