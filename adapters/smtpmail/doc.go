// Package smtpmail hands mails to an SMTP server. It composes them with go-mail, and drives the
// conversation itself, because three things must be known that a simpler call hides: the code of
// each answer, whether the server has taken the mail when something breaks afterwards, and that a
// conversation which broke off inside the mail is cut and not ended politely (the next command would
// end the mail and have half of it delivered).
//
// A Mailer keeps connections that are not in use for a while. It starts no goroutine of its own.
//
// Answers to MAIL, RCPT and DATA decide about the mail: 5xx is final (email.Permanent), all else may
// be tried again. What goes wrong before (no connection, a refused greeting, TLS, a wrong password)
// says nothing about the mail and is never final.
package smtpmail
