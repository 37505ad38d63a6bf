// Package bus is the port to a transport: how events travel from the log to the handler sets. A bus
// is chosen by configuration and can be changed on a living system, because it is trusted with
// nothing: the log holds every event and the settlement record says what each set has done.
//
// # What a bus must do
//
//   - Every set gets its own copy: what one set does, fails at or has not taken yet changes nothing
//     for another. With deliver-to-all every process's subscriber gets each event.
//   - A message carries the event (Encode; Hand within the process) and where it stands: its position, the position
//     before it in the log and the one before it in its slot. Decode refuses what lacks them.
//   - Handing over is bounded: a set that does not take its messages costs a fixed amount of memory,
//     and Publish never waits for it.
//   - A bus may lose, repeat and reorder. It should rarely do so: each gap costs a read of the log.
//     It must not invent or change an event.
//   - Publish returns when the transport has the messages, or with an error; the sequencer sends
//     again after an error, so a message may come twice.
//   - Ack tells the transport that the set's record covers the message: it is settled and committed,
//     or the lane will read it from the log. It never comes before that is so, and never because a
//     process stops. A transport that delivers again may do so after Nack, or when no ack came.
//   - Something undecodable in the transport is logged and stepped over; it stops nobody.
//   - After Close returns nothing of the bus runs any more. Close loses nothing that matters: what was on
//     its way is in the log.
//
// Who subscribes puts lanes, cursors and gap filling on top (package settle); a bus knows nothing
// of them. Implementations pass bustest.
package bus
