// Package email takes mails from the queue, renders their templates, has them sent and reports the
// outcome as notification.sent or notification.failed.
//
// # The life of a mail
//
//	queued ─► (leased) ─► sending ─► sent      with notification.sent
//	  ▲                      │  └──► failed    with notification.failed
//	  └── pause, back-off ◄──┘
//
// "sending" is on disk before anything is said to a mail server, and is an attempt from then on.
// The final status and the event commit together. Between the two, and only there, a crash, a
// lost answer or a lease that runs out can lead to a second copy; it has the same Message-ID.
//
// # Who runs
//
// Worker.Run owns one goroutine that claims, and one for each mail in hand, twice Config.Senders: no more than
// Config.Senders are being sent, while what others have come to is written. Claimed mails wait in a stock of
// four for each sender, without an attempt; they are given back when it stops. Marks and outcomes that come
// while others are written share the next transaction, so a process that dies leaves at most twice
// Config.Senders mails with an attempt whose outcome nobody knows.
// No transaction is open while a template is rendered or a mail server is talked to. Several
// workers, in several processes, share one queue.
//
// What speaks SMTP and what stores the queue are adapters behind Sender and Queue. A queue passes
// emailtest.
package email
