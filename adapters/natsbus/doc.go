// Package natsbus is the bus over NATS JetStream: with a server inside the process, or with one or
// several elsewhere. It also speaks core NATS for events that shall be seen at once, and takes
// events of other services from their subjects (Foreign). Handler sets, cursors, lanes and the log
// do not belong here: the bus carries messages and is trusted with nothing but speed.
//
// # The stream
//
// There is one stream, LEAT_EVENTS. An event travels on leat.events.{tenant}.{slot}.{route}; the slot
// has two digits, 00 to 63, so that subjects sort. Open makes the stream when there is none, and
// refuses to work with one that has other settings: the error names each field, what it is and what
// it should be. Nothing is changed behind an operator's back.
//
// Messages are kept by size and age, not until somebody has acked them, and a full stream drops its
// oldest (nats.discard: old). That loses no event. Whoever had not come so far sees a gap, or looks
// at the log by itself, and reads there what is missing. The other choice (nats.discard: new) makes a
// full stream refuse: Publish returns the error, and all sets fall back to reading the log until the
// oldest messages are over age. It is for a stream that programs outside Leat read and must find
// complete; it lets a reader that is away slow everybody else. Retention by interest was not chosen for
// the same reason: a set that nobody works any more would fill the stream.
//
// The stream's metadata and a header of every message name the log that they belong to. Open refuses the
// stream of another log, and one that is ahead of its log, as after the database was restored from a
// backup: the stream may then hold the last copy of events, so it is neither used nor emptied. A
// message that does not bear the log's identity is stepped over.
//
// # Consumers
//
// The owner of a lane pulls from a durable consumer leat_{set}_{lane}_of_{lanes} that filters the
// lane's slots. The bus makes it, never deletes it, and the server forgets it when nobody has pulled
// for nats.forget. It begins with what is published after it was made: what is older the lane reads
// from the log; what was published while nobody owned the lane is brought, and known by its position where
// the log was faster. Deliveries are not limited in number and never dropped; attempts are counted by the
// lanes. A message in hand is kept alive with progress reports, however long its handler works. When a
// subscription ends, what is in hand without an ack goes back at once, so that the next owner need
// not wait (after a restart of the server it does wait, for nats.ack_wait, or reads the log); an ack that comes later is for nobody, and the message that comes again is known by its
// position.
//
// A set that every instance runs has a nameless consumer in memory, without acks, that is deleted at
// the end.
//
// # The message
//
// watermill-nats's NATSMarshaler writes and reads it: the payload is the event's data, metadata are
// headers. The headers are those of CloudEvents' binary mode for NATS: values of ce- headers are
// percent-encoded where they hold a space, a quote, a percent sign or anything beyond ASCII, and
// decoded again by the subscriber, so that every text arrives as it was. Programs that read the
// stream with a plain NATS client must decode them too. There is no Nats-Msg-Id: the server's search for
// duplicates never swallows a message that is sent again, and costs nothing.
//
// Messages are published without waiting for one another, at most nats.window without an ack, and a call ends
// when every one of its messages has its own.
//
// An event that cannot travel (larger than the server accepts) is stepped over with a warning; the
// sets read it from the log. A message that cannot be read stops nobody: it becomes a dead letter
// (SetStream, of the tenant _system, whatever tenant its subject claims), and is terminated when that is
// on disk; without Letters it is logged. One that somebody put there before a lane of that slot had its consumer
// (the first start of a set) is seen by nobody. A foreign message that the log refuses becomes one of SetForeign.
//
// # Broadcasts
//
// What shall be seen at once goes over core NATS on leat.live.{tenant}.{route}, with the headers of the
// message and Leat-From, by which a process passes over what it sent itself. It has no position. One that
// the log did not take carries leat-unrecorded: true. Nothing is stored, and nothing is sent while the
// connection is down.
//
// # When things break
//
// The connection is taken up again for ever, every nats.reconnect_wait. Check and Connected tell how
// it stands. A stream or consumer that is gone, with all its data or without, is made again by who
// notices first, publisher or subscriber, and everybody looks again. Until then lanes read the log.
//
// # Time
//
// Ack waits, heartbeats and pauses between connections are agreed with a server in another process, and
// therefore run on real time, not on an injected clock.
//
// # Goroutines
//
// A subscription owns two, and one for each message in hand, of which there are at most
// nats.max_ack_pending. The connection has its own, and so has the embedded server. All end with Close.
package natsbus
