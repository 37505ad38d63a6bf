// Package webui serves the page at "/": a live feed of events, a sample journey, and what the handler
// sets left behind. The page is built from the TypeScript in app/ into dist/, which is committed and
// embedded, so that building Leat needs Go only.
//
// The page is a client of the public API like any other: nothing here reads the store, and nothing of
// the page comes from elsewhere.
package webui
