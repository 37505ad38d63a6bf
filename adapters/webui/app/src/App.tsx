import { useMemo, useState } from "preact/hooks";
import * as api from "./api/leat";
import { useFeed } from "./hooks/useFeed";
import { useRead } from "./hooks/useRead";
import { useSettled } from "./hooks/useSettled";
import type { Entry } from "./live/entries";
import { FeedPanel } from "./panels/FeedPanel";
import { HandlersPanel } from "./panels/HandlersPanel";
import { Header } from "./panels/Header";
import { KeyBar } from "./panels/KeyBar";
import { Records } from "./panels/Records";
import { TryIt } from "./tryit/TryIt";

/** The page: a sample journey beside the live feed, the handler sets beside what they left behind. */
export function App() {
  const { feed, state } = useFeed();
  // A key that was given makes everything be read again.
  const [keyed, setKeyed] = useState(0);
  const [correlation, setCorrelation] = useState("");
  const arrivals = useSettled(state.arrivals, 300, 1500);
  const version = `${arrivals}/${keyed}/${state.connection}`;

  const handlers = useRead(api.handlers, version);
  const tenant = useMemo(() => tenantOf(state.entries), [state.entries]);

  return (
    <>
      <a class="skip" href="#feed-title">
        Skip to the live feed
      </a>
      <Header state={state} onReconnect={() => feed.reconnect()} />
      <KeyBar
        wanted={handlers.error?.status === 401 || state.error?.status === 401}
        onKey={() => {
          setKeyed((n) => n + 1);
          feed.reconnect();
          void feed.loadHistory(false);
        }}
      />
      <main class="board">
        <TryIt tenant={tenant} onCorrelation={setCorrelation} />
        <FeedPanel state={state} version={version} correlation={correlation} onCorrelation={setCorrelation} />
        <HandlersPanel read={handlers} />
        <Records version={version} />
      </main>
    </>
  );
}

/** The visitor's tenant: that of the events that are shown; before there are any, the one of development mode. */
function tenantOf(entries: Entry[]): string {
  for (const e of entries) {
    if (e.what === "event" && e.event.tenantid) return e.event.tenantid;
  }
  return "dev";
}
