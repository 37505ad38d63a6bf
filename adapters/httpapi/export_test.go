package httpapi

import "github.com/leat-dev/leat/app/event"

// PlainEvent reads the body of a publish call in which there is nothing to complain of.
func PlainEvent(body []byte) (event.Raw, bool) { return plainEvent(body) }

// CarefulEvent reads any.
func CarefulEvent(body []byte) (event.Raw, error) { return carefulEvent(body) }
