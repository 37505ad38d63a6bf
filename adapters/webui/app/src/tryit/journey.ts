// The sample journey: a build of a project from its queueing to its end, one API call after another.

import { ApiError } from "../api/client";
import * as api from "../api/leat";
import type { Build, Project } from "../api/types";
import { asApiError } from "../hooks/useRead";

export interface Plan {
  /** An existing project, or the details of a new one. */
  project: Project | { name: string; assignee: string };
  image: string;
}

export interface Step {
  label: string;
  /** What came of it: an id, a percentage. */
  note: string;
  state: "running" | "done" | "failed";
}

export interface Journey {
  /** The correlation id of all its calls: the feed shows the whole journey by it. */
  correlation: string;
  steps: Step[];
  percent: number;
  project: Project | undefined;
  build: Build | undefined;
  /** `choose`: all is done but the end, which the visitor chooses. */
  phase: "running" | "choose" | "completed" | "failed" | "stuck";
  error: ApiError | undefined;
}

/** A journey before its first step. */
export function newJourney(): Journey {
  const random = crypto.getRandomValues(new Uint8Array(6));
  const correlation = `journey-${Array.from(random, (b) => b.toString(16).padStart(2, "0")).join("")}`;
  return { correlation, steps: [], percent: 0, project: undefined, build: undefined, phase: "running", error: undefined };
}

/** The calls that a journey makes; `pause` waits between two of them, in ms. */
export interface Deps {
  createProject: typeof api.createProject;
  queueBuild: typeof api.queueBuild;
  stepBuild: typeof api.stepBuild;
  pause: (ms: number) => Promise<void>;
}

export const pageDeps: Deps = {
  createProject: api.createProject,
  queueBuild: api.queueBuild,
  stepBuild: api.stepBuild,
  pause: (ms) => new Promise((done) => setTimeout(done, ms)),
};

const beat = 700;

const progress: { percent: number; stage: string }[] = [
  { percent: 25, stage: "fetching sources" },
  { percent: 50, stage: "building layers" },
  { percent: 75, stage: "pushing the image" },
];

/** Goes the way to the choice of the end, and tells each change of the journey. */
export async function travel(journey: Journey, plan: Plan, tell: (j: Journey) => void, deps: Deps = pageDeps): Promise<void> {
  const log = new Log(journey, tell);
  const options = { correlation: journey.correlation };
  try {
    const given = plan.project;
    let project: Project;
    if ("id" in given) {
      project = given;
    } else {
      project = await log.step("Create project", () => deps.createProject(given.name, given.assignee, options), (p) => p.name);
      await deps.pause(beat / 2);
    }
    log.set({ project });
    const build = await log.step("Queue build", () => deps.queueBuild(project.id, plan.image, options), () => plan.image);
    log.set({ build });
    await deps.pause(beat);
    await log.step("Start", () => deps.stepBuild(build.id, { do: "start" }, options), () => "running");
    for (const { percent, stage } of progress) {
      await deps.pause(beat);
      await log.step("Progress", () => deps.stepBuild(build.id, { do: "progress", percent, stage }, options), () => `${percent} %, ${stage}`);
      log.set({ percent });
    }
    log.set({ phase: "choose" });
  } catch (error) {
    log.set({ phase: "stuck", error: asApiError(error) });
  }
}

/** Ends the build of a journey as it was chosen. A refused end can be tried again. */
export async function end(
  journey: Journey,
  how: { do: "complete" } | { do: "fail"; reason: string },
  tell: (j: Journey) => void,
  deps: Deps = pageDeps,
): Promise<void> {
  const { build } = journey;
  if (!build) return;
  const log = new Log({ ...journey, error: undefined, phase: "running" }, tell);
  const options = { correlation: journey.correlation };
  try {
    if (how.do === "complete") {
      await log.step("Complete", () => deps.stepBuild(build.id, how, options), () => "image built");
      log.set({ percent: 100, phase: "completed" });
    } else {
      await log.step("Fail", () => deps.stepBuild(build.id, how, options), () => how.reason);
      log.set({ phase: "failed" });
    }
  } catch (error) {
    // The step that was refused goes, so that trying again does not pile them up.
    log.set({ phase: "choose", error: asApiError(error), steps: journey.steps });
  }
}

class Log {
  constructor(
    private journey: Journey,
    private readonly tell: (j: Journey) => void,
  ) {}

  set(change: Partial<Journey>): void {
    this.journey = { ...this.journey, ...change };
    this.tell(this.journey);
  }

  async step<T>(label: string, call: () => Promise<T>, note: (result: T) => string): Promise<T> {
    // A step that is made several times keeps its line.
    const last = this.journey.steps.at(-1);
    const same = last?.label === label ? last : undefined;
    const before = same ? this.journey.steps.slice(0, -1) : this.journey.steps;
    this.set({ steps: [...before, { label, note: same?.note ?? "", state: "running" }] });
    try {
      const result = await call();
      this.set({ steps: [...before, { label, note: note(result), state: "done" }] });
      return result;
    } catch (error) {
      this.set({ steps: [...before, { label, note: "", state: "failed" }] });
      throw error;
    }
  }
}
