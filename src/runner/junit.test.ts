import { expect, test } from "vitest";
import { junitXml } from "./junit.ts";

test("the phases as kubetest2 writes them", () => {
  const xml = junitXml([
    { name: "Up", ms: 1500 },
    { name: "Test", ms: 250, failure: "exit <3> & \u0000more" },
    { name: "Down", ms: 0 },
  ]);
  expect(xml).toBe(
    [
      '<testsuite name="kubetest2" failures="1" tests="3" time="1.750000">',
      '  <testcase name="Up" classname="kubetest2" time="1.500000"></testcase>',
      '  <testcase name="Test" classname="kubetest2" time="0.250000">',
      "    <failure>exit &lt;3&gt; &amp; more</failure>",
      "  </testcase>",
      '  <testcase name="Down" classname="kubetest2" time="0.000000"></testcase>',
      "</testsuite>",
      "",
    ].join("\n"),
  );
});
