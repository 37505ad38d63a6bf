import * as api from "../api/leat";
import type { HandlerSet, Page } from "../api/types";
import { type Action, useAction } from "../hooks/useAction";
import type { Read } from "../hooks/useRead";
import { Empty } from "../ui/Empty";
import { Fault, ReadFault } from "../ui/Fault";
import { Icon } from "../ui/Icon";
import { Panel } from "../ui/Panel";
import { typesText } from "../ui/format";

/** The handler sets, what waits before each of them, and a switch to pause one. */
export function HandlersPanel({ read }: { read: Read<Page<HandlerSet>> }) {
  const action = useAction();
  const sets = read.data?.items;
  return (
    <Panel id="handlers" title="Handlers" aside={sets && sets.length > 0 && <span class="muted small-text">{sets.length} sets</span>}>
      <Fault error={action.error} onClose={action.clear} />
      <ReadFault error={read.error} />
      {sets?.length === 0 && (
        <Empty icon="cog" title="No handler set runs">
          A process runs the sets of its <code>roles</code>; by default that is all of them.
        </Empty>
      )}
      {sets && sets.length > 0 && (
        <div class="figures sets-head" aria-hidden="true">
          <span>backlog</span>
          <span>parked</span>
          <span>dead</span>
        </div>
      )}
      <ul class="sets">
        {sets?.map((s) => (
          <SetRow key={s.name} set={s} action={action} onChange={read.refresh} />
        ))}
      </ul>
    </Panel>
  );
}

function SetRow({ set, action, onChange }: { set: HandlerSet; action: Action; onChange: () => void }) {
  const to = set.paused ? "resume" : "pause";
  const types = set.types ?? [];
  return (
    <li class={set.paused ? "set paused" : "set"}>
      <p class="set-name">
        <b>{set.name}</b>
        {set.paused && <span class="pill pill-warn">paused</span>}
        {set.everyInstance && <span class="pill">every instance</span>}
      </p>
      {!set.everyInstance && (
        <dl class="figures">
          <Figure label="backlog" value={set.backlog} tone={set.paused ? "warn" : ""} />
          <Figure label="parked" value={set.parked} tone="warn" />
          <Figure label="dead" value={set.deadLetters} tone="bad" />
        </dl>
      )}
      <p class="set-types" title={types.join(", ")}>
        {typesText(types)}
      </p>
      {!set.everyInstance && (
        <button
          type="button"
          class="button quiet icon-button set-switch"
          disabled={action.busy === set.name}
          aria-label={`${to} ${set.name}`}
          title={set.paused ? "Resume: take up the backlog" : "Pause: events wait in the log until it is resumed"}
          onClick={() => void action.run(set.name, () => api.switchHandler(set.name, to)).then(onChange)}
        >
          <Icon name={set.paused ? "play" : "pause"} />
        </button>
      )}
    </li>
  );
}

function Figure({ label, value, tone }: { label: string; value: number; tone: "" | "warn" | "bad" }) {
  return (
    <div class={`figure ${value === 0 ? "none" : tone}`}>
      <dt class="unseen">{label}</dt>
      <dd>{value.toLocaleString("en")}</dd>
    </div>
  );
}
