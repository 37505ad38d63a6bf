// Package devinbox is a mail server for development: it takes every mail over SMTP on this machine,
// sends none on, and keeps the newest in memory for the web page to show. It wants no password and no
// TLS, and therefore refuses to listen on an address that other machines can reach.
package devinbox
