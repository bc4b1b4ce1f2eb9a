import { expect, test } from "vitest";
import type { Provider } from "../resources/cluster.ts";
import { asRoot, bytes, type Check, reportOf } from "./check.ts";

const check = (name: string, state: Check["state"], needed?: readonly Provider[]): Check => ({
  name,
  state,
  found: "",
  ...(needed ? { needed } : {}),
});
const docker = check("docker", "missing", ["kind"]);
const etcd = check("etcd", "missing", ["bare"]);

test.each<[string, Check[], Provider | undefined, boolean]>([
  ["nothing is missing", [check("docker", "ok", ["kind"])], undefined, true],
  ["one provider of two will do", [docker], undefined, true],
  ["but not when the other was asked for", [docker], "kind", false],
  ["the one that was asked for works", [docker], "bare", true],
  ["neither works", [docker, etcd], undefined, false],
  ["something that both need", [check("data-folder", "missing", ["kind", "bare"])], undefined, false],
  ["something that none needs", [check("git", "missing")], "kind", true],
  ["warnings and what cannot be seen", [check("cgroup", "warning", ["kind"]), check("disk-docker", "unknown", ["kind"])], "kind", true],
])("%s", (_, checks, asked, ok) => {
  expect(reportOf(checks, asked).ok).toBe(ok);
});

test("a report names what keeps a provider from working", () => {
  expect(reportOf([docker, check("kind", "missing", ["kind"])], undefined).providers).toEqual({
    kind: { ok: false, missing: ["docker", "kind"] },
    bare: { ok: true, missing: [] },
  });
});

test.each([
  [0, "0 MB"],
  [320 * 1024 ** 2, "320 MB"],
  [1.4 * 1024 ** 3, "1.4 GB"],
  [61.2 * 1024 ** 3, "61 GB"],
  [2048 * 1024 ** 3, "2,048 GB"],
])("bytes of %d", (count, text) => {
  expect(bytes(count)).toBe(text);
});

test("root needs no sudo", () => {
  expect(asRoot("reboot", { isRoot: true })).toBe("reboot");
  expect(asRoot("reboot", { isRoot: false })).toBe("sudo reboot");
});
