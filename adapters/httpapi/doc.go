// Package httpapi is the HTTP entrance: the API under /v1, its OpenAPI document, the mounting of the
// live feed and the web page, and beside it, on a listener of its own, what operators ask for
// (health, readiness, metrics).
//
// It translates: a request becomes a call of a port, an error becomes the one error body. Nothing
// is decided here and nothing is stored. Who calls is known at the entrance only: it puts an
// event.Origin into the context, and everything behind takes the tenant from there.
//
// Server and Ops start nothing before Run. Run owns the goroutines of its http.Server; it returns
// when the requests in hand are answered, or when its deadline has passed. Connections that the
// live feed has taken over belong to the live feed.
package httpapi
