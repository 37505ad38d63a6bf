// Package configs reads what a user sets: flags over environment over file over defaults. Its
// Config is composed of the components' own Config structs; what a key means is said there, how it
// is written, found, checked and printed is said here. It starts nothing and connects to nothing.
//
// Environment variables begin with LEAT_, have "__" between levels and keep single underscores:
// LEAT_STORE__TABLE_PREFIX is store.table_prefix. Lists are separated by commas. A secret may be
// read from a file: LEAT_SMTP__PASSWORD_FILE names the file that holds smtp.password.
package configs
