/** Pipes by which a runner speaks to the loop of a job's container, in the folder of the steps: what the three pipes and `output` of loop-script.ts are to a child. */
export const containerLoopFiles = {
  in: "container.in",
  life: "container.life",
  said: "container.said",
  output: "container.output",
} as const;
