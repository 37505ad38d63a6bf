// Package builds holds the making of images: the build aggregate with its states, its events, its
// commands and the port to its storage. How builds are stored, reached, run or told about is not
// said here.
package builds
