import { useState } from "preact/hooks";
import { Panel } from "../ui/Panel";
import { BuildForm } from "./BuildForm";
import { InviteForm } from "./InviteForm";
import { type Journey, type Plan, newJourney, travel } from "./journey";
import { JourneyView } from "./JourneyView";

interface TryItProps {
  /** Whom a member is invited to. */
  tenant: string;
  /** Shows the events of a correlation id in the feed. */
  onCorrelation: (id: string) => void;
}

/** Lets a visitor cause events by the public API and see what becomes of them in the other panels. */
export function TryIt({ tenant, onCorrelation }: TryItProps) {
  const [what, setWhat] = useState<"build" | "invite">("build");
  const [journey, setJourney] = useState<Journey>();

  const start = (plan: Plan): void => {
    const begun = newJourney();
    setJourney(begun);
    void travel(begun, plan, setJourney);
  };

  return (
    <Panel
      id="tryit"
      title="Try it"
      aside={
        <div class="switch" role="group" aria-label="What to try">
          <button type="button" aria-pressed={what === "build"} onClick={() => setWhat("build")}>
            Run a build
          </button>
          <button type="button" aria-pressed={what === "invite"} onClick={() => setWhat("invite")}>
            Invite
          </button>
        </div>
      }
    >
      <div hidden={what !== "build"}>
        {journey ? (
          <JourneyView
            journey={journey}
            onChange={setJourney}
            onAgain={() => setJourney(undefined)}
            onShow={() => onCorrelation(journey.correlation)}
          />
        ) : (
          <BuildForm onStart={start} />
        )}
      </div>
      <div hidden={what !== "invite"}>
        <InviteForm tenant={tenant} />
      </div>
    </Panel>
  );
}
