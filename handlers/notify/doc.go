// Package notify decides who is told about what. Its handler set turns events into
// notification.requested, one for each rule that fits, and every notification.requested, whoever
// published it, into mails in the email queue. All of it happens in the transaction that settles
// the event, so no mail is forgotten and none is queued twice.
//
// Nothing is sent here, no template is rendered and no network is touched: that is the email worker's.
package notify
