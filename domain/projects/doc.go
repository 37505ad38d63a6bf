// Package projects holds what images are built for: the project aggregate, its events, its
// commands and the port to its storage. How projects are stored, reached or told about is not
// said here.
package projects
