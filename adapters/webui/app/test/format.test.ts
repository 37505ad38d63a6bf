import { describe, expect, it } from "vitest";
import { changesText, feedTime, shortId, shortTime, tokens, typesText } from "../src/ui/format";

const now = new Date(2026, 4, 3, 20, 0, 0);

describe("times", () => {
  it("are short, with the date when it is another day's", () => {
    expect(shortTime(new Date(2026, 4, 3, 14, 2, 11).toISOString(), now)).toBe("14:02:11");
    expect(feedTime(new Date(2026, 4, 3, 14, 2, 11, 7).toISOString(), now)).toBe("14:02:11.007");
    expect(feedTime(new Date(2026, 3, 9, 14, 2, 11, 7).toISOString(), now)).toBe("9 Apr 14:02");
  });

  it("are empty when there is none", () => {
    for (const none of [undefined, "", "0001-01-01T00:00:00Z", "soon"]) expect(shortTime(none, now)).toBe("");
  });
});

describe("tokens", () => {
  it("lose nothing of the text", () => {
    const value = { a: 'quote " and : colon', b: [1, -2.5e3, true, null], c: { "d:": "\\" }, e: {} };
    const found = tokens(value);
    expect(found.map((t) => t.text).join("")).toBe(JSON.stringify(value, null, 2));
    expect(found.filter((t) => t.kind === "key").map((t) => t.text)).toEqual(['"a"', '"b"', '"c"', '"d:"', '"e"']);
  });
});

describe("changesText", () => {
  it("says from what to what", () => {
    expect(changesText({ name: { from: "Mill", to: "Old mill" }, watchers: { from: [], to: ["a@b"] }, assignee: { from: "", to: "x" } })).toBe(
      'name: Mill → Old mill, watchers: [] → ["a@b"], assignee: none → x',
    );
    expect(changesText(null)).toBe("");
    expect(changesText({ state: "done" })).toBe("state: done");
  });
});

describe("typesText", () => {
  it("counts many types by their first segment", () => {
    expect(typesText(["order.shipped"])).toBe("order.shipped");
    expect(typesText(["build.queued", "build.started", "build.failed", "member.invited"])).toBe("build (3), member");
    expect(typesText(["*"])).toBe("every event");
  });
});

describe("shortId", () => {
  it("keeps the end, which differs", () => {
    expect(shortId("0197a2c4-1519-7abc-9def-0012ebe6a783")).toBe("…e6a783");
    expect(shortId("sku-1")).toBe("sku-1");
  });
});
