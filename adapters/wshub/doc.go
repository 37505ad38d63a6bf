// Package wshub is the live feed: WebSocket clients get the events of their tenant as they are
// pushed, and read from the log what they missed. It speaks the subprotocol leat.v1; frames are
// JSON text.
//
// # The conversation
//
//	server  {"op":"hello","position":n}                    first; later events have positions above n
//	client  {"op":"subscribe","types":["build.*"],"subjects":["b1"],"after":n}
//	server  {"op":"event","position":n,"event":{…}}        a CloudEvent; no position on the fast path,
//	                                                       "unrecorded":true if the log did not take it
//	server  {"op":"position","position":n}                 everything up to n that matches has been sent
//	server  {"op":"gap","from":n,"to":m}                   these positions are no longer kept
//	server  {"op":"error","code":"…","message":"…"}        the frame was refused; the connection stays
//
// Nothing flows before the first subscribe. types and subjects that are left out select
// everything; both must fit. A later subscribe replaces the one before; one that is refused leaves
// it in place. With "after" the client gets what the log holds beyond that position (0: all of it)
// and then the live events, without a gap and without a repeat; without it, the events from now
// on. A position frame answers each subscribe once the client is live, and follows whenever
// the feed has gone on without anything that fits, at most once per Config.PositionInterval. To
// resume, a client gives the highest position that it was told, in whichever frame.
//
// An event that came without a position is not sent again with one on the same connection. It may
// carry "unrecorded":true beside "op": the log was down, the event is known to the live feed alone,
// and nobody may ever handle it. Should its publisher repeat it later, it is not sent again either.
//
// Close codes: 1001 shutting down, 1008 too many bad frames, 1009 frame too large, 1013 the log
// cannot be read now, 4401 no longer allowed, 4408 too slow. A client that answers no ping is cut.
//
// # What is promised
//
// A client never gets an event of another tenant; the tenant is the one that the entrance put into
// the request's context. Events with positions come in the order of the log, each at most once.
// Push never waits for a client: one that does not take its frames costs Config.Queue frames and is
// closed. A client that is catching up costs one page of the log.
//
// # Who may connect
//
// Browsers always send Origin; it must be the host that is asked or one of Config.AllowedOrigins,
// since a browser adds credentials to any page's request. Other programs send none and are let in:
// what they need is a credential, which the entrance has checked by then.
//
// # Goroutines
//
// A connection has one, which reads; that of its request ends with the upgrade. A second one, the writer, alone sends and
// alone changes what the client has been told. It is there only while there is something to send: whoever
// brings something begins it if it is not there (client.wake), and it ends when it finds nothing more
// (client.next). One goroutine for all clients, which runs while there are any, looks whether a client is
// owed a ping or a position, or has been silent for too long (wheel). Push runs in its caller's. Close ends
// them all. The package knows no catalogue, no bus and no credentials.
package wshub
