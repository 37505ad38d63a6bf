import { useState } from "preact/hooks";
import { Fault } from "../ui/Fault";
import { Field } from "../ui/Field";
import { Icon } from "../ui/Icon";
import { type Journey, type Step, end } from "./journey";

interface JourneyViewProps {
  journey: Journey;
  onChange: (j: Journey) => void;
  onAgain: () => void;
  onShow: () => void;
}

/** The steps of a build as they are made, and the choice of its end. */
export function JourneyView({ journey, onChange, onAgain, onShow }: JourneyViewProps) {
  // Kept here, so that a reason that was refused is still there to be mended.
  const [reason, setReason] = useState("the base image is gone");
  const { phase, percent, steps, error, project } = journey;
  const tone = phase === "failed" || phase === "stuck" ? "bad" : phase === "completed" ? "good" : "";
  return (
    <div class="journey">
      <p class="journey-title">
        <b>{project?.name ?? "Build"}</b>
        <span class="muted">{percent} %</span>
      </p>
      <div class={`bar ${tone}`} role="progressbar" aria-label="Progress of the build" aria-valuenow={percent} aria-valuemin={0} aria-valuemax={100}>
        <span style={{ width: `${percent}%` }} />
      </div>
      <ol class="steps" aria-live="polite">
        {steps.map((s, i) => (
          <StepRow key={i} step={s} />
        ))}
      </ol>
      <Fault error={error} />
      {phase === "choose" && <Choice journey={journey} onChange={onChange} reason={reason} onReason={setReason} />}
      {(phase === "completed" || phase === "failed") && (
        <p class="journey-end">
          {phase === "completed"
            ? "Done. The audit entries, the mail to the assignee and its delivery are in Records."
            : "Failed, as chosen: an alert of high severity and a mail to the assignee went out."}
        </p>
      )}
      {phase !== "running" && phase !== "choose" && (
        <div class="journey-next">
          <button type="button" class="button primary" onClick={onShow}>
            Show its events
          </button>
          <button type="button" class="button" onClick={onAgain}>
            Run another
          </button>
        </div>
      )}
    </div>
  );
}

function StepRow({ step }: { step: Step }) {
  return (
    <li class={`step step-${step.state}`}>
      <span class="step-mark">
        {step.state === "done" && <Icon name="check" />}
        {step.state === "failed" && <Icon name="cross" />}
      </span>
      <span>{step.label}</span>
      <span class="step-note muted" title={step.note}>
        {step.note}
      </span>
    </li>
  );
}

interface ChoiceProps {
  journey: Journey;
  onChange: (j: Journey) => void;
  reason: string;
  onReason: (reason: string) => void;
}

function Choice({ journey, onChange, reason, onReason }: ChoiceProps) {
  const submit = (e: Event): void => {
    e.preventDefault();
    void end(journey, { do: "fail", reason: reason.trim() }, onChange);
  };
  return (
    <form class="choice" onSubmit={submit}>
      <p class="lead">How does it end?</p>
      <button type="button" class="button primary" onClick={() => void end(journey, { do: "complete" }, onChange)}>
        Complete
      </button>
      <div class="choice-fail">
        <Field label="or fail, because" value={reason} onValue={onReason} />
        <button type="submit" class="button danger">
          Fail
        </button>
      </div>
    </form>
  );
}
