import { describe, expect, it, vi } from "vitest";
import { ApiError } from "../src/api/client";
import { type Deps, type Journey, end, newJourney, travel } from "../src/tryit/journey";

function setup(change: Partial<Deps> = {}) {
  const calls: string[] = [];
  const told: Journey[] = [];
  const deps: Deps = {
    createProject: async (name, assignee, { correlation }) => {
      calls.push(`create ${name} ${assignee} ${correlation?.slice(0, 8)}`);
      return { id: "p1", name };
    },
    queueBuild: async (project, image) => {
      calls.push(`queue ${project} ${image}`);
      return { id: "b1" };
    },
    stepBuild: async (id, step) => {
      calls.push(`${step.do} ${id}${"percent" in step ? ` ${step.percent}` : ""}${"reason" in step ? ` ${step.reason}` : ""}`);
      return { id };
    },
    pause: async () => undefined,
    ...change,
  };
  const tell = (j: Journey): void => void told.push(j);
  const last = (): Journey => told.at(-1) ?? newJourney();
  return { calls, deps, tell, last };
}

const plan = { project: { name: "Mill", assignee: "ada@example.com" }, image: "mill:1" };

describe("the journey", () => {
  it("goes to the choice of the end, then ends as chosen", async () => {
    const { calls, deps, tell, last } = setup();
    await travel(newJourney(), plan, tell, deps);
    expect(last()).toMatchObject({ phase: "choose", percent: 75 });
    expect(last().steps.map((s) => s.label)).toEqual(["Create project", "Queue build", "Start", "Progress"]);
    await end(last(), { do: "complete" }, tell, deps);
    expect(last()).toMatchObject({ phase: "completed", percent: 100 });
    expect(calls).toEqual([
      "create Mill ada@example.com journey-", "queue p1 mill:1", "start b1",
      "progress b1 25", "progress b1 50", "progress b1 75", "complete b1",
    ]);
  });

  it("takes a project that exists", async () => {
    const { calls, deps, tell } = setup();
    await travel(newJourney(), { project: { id: "p9", name: "Old" }, image: "old:2" }, tell, deps);
    expect(calls[0]).toBe("queue p9 old:2");
  });

  it("stops where the API refuses, and says why", async () => {
    const refusal = new ApiError(422, "INVALID_INPUT", "no", [{ field: "name", error: "is empty" }]);
    const { deps, tell, last } = setup({ createProject: vi.fn().mockRejectedValue(refusal) });
    await travel(newJourney(), plan, tell, deps);
    expect(last()).toMatchObject({ phase: "stuck", error: refusal, steps: [{ label: "Create project", state: "failed" }] });
  });

  it("lets the end be chosen again when it was refused", async () => {
    const { deps, tell, last } = setup();
    await travel(newJourney(), plan, tell, deps);
    const steps = last().steps;
    const refusal = new ApiError(422, "INVALID_INPUT", "no");
    await end(last(), { do: "fail", reason: "" }, tell, { ...deps, stepBuild: vi.fn().mockRejectedValue(refusal) });
    expect(last()).toMatchObject({ phase: "choose", error: refusal });
    expect(last().steps).toEqual(steps);
    await end(last(), { do: "fail", reason: "broken" }, tell, deps);
    expect(last()).toMatchObject({ phase: "failed", error: undefined });
  });
});
