import { useEffect, useMemo, useState } from "preact/hooks";
import { type Feed, type FeedState, pageFeed } from "../live/feed";

/** Runs the page's live feed as long as the component is shown. */
export function useFeed(): { feed: Feed; state: FeedState } {
  const feed = useMemo(pageFeed, []);
  const [state, setState] = useState(feed.state);

  useEffect(() => {
    const forget = feed.subscribe(() => setState(feed.state));
    const online = (): void => feed.reconnect();
    addEventListener("online", online);
    feed.start();
    // Without a connection the newest events are still read now and then.
    const poll = setInterval(() => {
      if (feed.state.connection !== "connected" && !document.hidden) void feed.loadHistory(false);
    }, 10_000);
    return () => {
      clearInterval(poll);
      removeEventListener("online", online);
      forget();
      feed.stop();
    };
  }, [feed]);

  return { feed, state };
}
