import { expect, test } from "vitest";
import { nearest } from "./suggest.ts";

test.each([
  ["knid", "kind"],
  ["Kind", "kind"],
  ["baer", "bare"],
  ["mnikube", "minikube"],
  ["k3d", undefined],
  ["", undefined],
  ["gke", undefined],
])("%s is near to %s", (word, expected) => {
  expect(nearest(word, ["kind", "bare", "minikube"])).toBe(expected);
});
